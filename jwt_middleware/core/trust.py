"""Whom to believe: one issuer, its keys, and what its tokens must say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, Protocol

from ..errors import (
    AlgorithmNotAllowedError,
    ConfigurationError,
    MalformedTokenError,
    UnknownKeyError,
)
from . import claims as check
from .jws import Header, checked_algorithms, parse_header
from .keys import Key, KeySet

MAX_LEEWAY_SECONDS: Final = 300
MAX_KNOWN_HEADERS: Final = 256

Profile = Literal["at+jwt"]

# A typ in lower case, without "application/"; None where the header has none.
_ANY_TYPE: Final = frozenset({None, "jwt", "at+jwt"})
_RFC9068_TYPE: Final = frozenset({"at+jwt"})


class KeySource(Protocol):
    """Where the keys of one issuer come from.  A :class:`KeySet` is one that never changes."""

    def current(self) -> KeySet:
        """
        Return the keys in force: the same object for as long as nothing has changed.

        Called for every request.  It may wait for the network only while there are no keys yet.

        Raises:
            UnavailableError: There are no keys, or they are older than they may be.
        """
        ...

    def refreshed(self, kid: str | None) -> KeySet:
        """
        Return the keys after another look, for a token that none of the current keys fits.

        Args:
            kid: What the token asks for.  Unverified.

        Raises:
            UnavailableError: As :meth:`current`.
        """
        ...


class TrustedIssuer:
    """
    An issuer whose tokens are accepted.

    Args:
        issuer: Its *iss*, compared character by character.
        audience: One *aud* or several, one of which a token must name.
        keys: Its keys: a :class:`KeySet`, or a source that keeps up with them.
        algorithms: The algs accepted of it; ``None`` leaves that to the keys.
        leeway_seconds: Clock skew forgiven with *exp*, *nbf* and *iat*, up to
            :data:`MAX_LEEWAY_SECONDS`.
        token_type: ``None`` accepts the *typ* ``JWT``, ``at+jwt`` or none; ``"at+jwt"`` only this
            one (RFC 9068 §4).  Case and a leading ``application/`` do not count.
        remote_user: What ``REMOTE_USER`` is for its tokens: ``"partner:{sub}"``.  ``None`` stands
            for *sub*, where no other issuer is trusted, and else for none.
        accept_sender_constrained: Whether a token with *cnf* is accepted as a bearer token.
        profile: ``"at+jwt"`` asks for all of RFC 9068: this *typ*, *client_id*, *iat* and *jti*.

    Raises:
        ConfigurationError: A part is missing or unusable.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str | Iterable[str],
        keys: KeySource,
        algorithms: Iterable[str] | None = None,
        leeway_seconds: float = 0,
        token_type: Profile | None = None,
        profile: Profile | None = None,
        remote_user: str | None = None,
        accept_sender_constrained: bool = False,
    ) -> None:
        if not isinstance(issuer, str) or not issuer:
            raise ConfigurationError(
                "issuer must be a non-empty string, the iss of accepted tokens"
            )
        named = [audience] if isinstance(audience, str) else audience
        audiences = tuple(named) if isinstance(named, Iterable) else ()
        if not audiences or not all(isinstance(one, str) and one for one in audiences):
            raise ConfigurationError("audience must be one or more non-empty strings")
        if type(leeway_seconds) not in {int, float} or not (
            0 <= leeway_seconds <= MAX_LEEWAY_SECONDS
        ):
            raise ConfigurationError(f"leeway_seconds must be 0 to {MAX_LEEWAY_SECONDS}")
        for name, value in (("token_type", token_type), ("profile", profile)):
            if value is not None and value != "at+jwt":
                raise ConfigurationError(f'{name} must be None or "at+jwt"')
        if remote_user is not None and (
            not isinstance(remote_user, str)
            or remote_user.count("{sub}") != 1
            or check.has_control_characters(remote_user)
        ):
            raise ConfigurationError('remote_user must hold {sub} once, as in "partner:{sub}"')
        self.remote_user = remote_user
        self.accept_sender_constrained = accept_sender_constrained
        self.issuer = issuer
        self.audiences = frozenset(audiences)
        accepted = checked_algorithms(algorithms)
        self.algorithms = None if accepted is None else frozenset(accepted)
        self.leeway_seconds = leeway_seconds
        self.profile = profile
        self._types = _ANY_TYPE if token_type is None and profile is None else _RFC9068_TYPE
        self.keys = checked_keys(keys)
        self._known_headers: dict[bytes, tuple[KeySet, Header, tuple[Key, ...]]] = {}

    def __repr__(self) -> str:
        return f"<TrustedIssuer {self.issuer!r} audience={sorted(self.audiences)}>"

    @property
    def token_type(self) -> Profile | None:
        """The only accepted *typ*, or ``None``; *profile* implies ``"at+jwt"``."""
        return None if self._types is _ANY_TYPE else "at+jwt"

    def keys_at_hand(self, segment: bytes) -> tuple[KeySet, Header, tuple[Key, ...]] | None:
        """
        Return what :meth:`find_keys` does where no source has to be asked for that, else ``None``.

        It is meant for tokens that may be another issuer's: they shall not have keys fetched here.

        Raises:
            InvalidTokenError: As :meth:`find_keys`.
        """
        known = self._known_headers.get(segment)
        if known is not None and known[0] is self.keys.current():
            return known
        return self.find_keys(segment) if isinstance(self.keys, KeySet) else None

    def find_keys(self, segment: bytes) -> tuple[KeySet, Header, tuple[Key, ...]]:
        """
        Read a header segment and return the keys that may have signed under it.

        Returns:
            The key set in force, the header, and at least one of the set's keys.

        Raises:
            MalformedTokenError: The header is not that of an access token.
            AlgorithmNotAllowedError: Its alg is not accepted, or not its key's.
            UnknownKeyError: Its kid is not known, even after another look.
            UnavailableError: There are no keys to look at.
        """
        keys = self.keys.current()
        known = self._known_headers.get(segment)
        if known is not None and known[0] is keys:
            return known
        header = parse_header(segment)
        self._check_type(header)
        if self.algorithms is not None and header.alg not in self.algorithms:
            raise AlgorithmNotAllowedError("alg is not accepted of this issuer")
        try:
            return keys, header, keys.candidates(header)
        except UnknownKeyError:
            keys = self.keys.refreshed(header.kid)
            return keys, header, keys.candidates(header)

    def remember_header(
        self, segment: bytes, found: tuple[KeySet, Header, tuple[Key, ...]]
    ) -> None:
        """Remember what :meth:`find_keys` returned, once a signature has proved it."""
        if self._known_headers.get(segment) is found:
            return
        if len(self._known_headers) >= MAX_KNOWN_HEADERS:
            self._known_headers.clear()
        self._known_headers[segment] = found

    def check_claims(self, claims: check.Claims, *, now: float) -> tuple[float, float]:
        """
        Check the claims of a token whose issuer and signature are known to be this one's.

        Returns:
            From when, and until when, the token is good; seconds since the epoch.

        Raises:
            InvalidClaimError: One of its subclasses says which claim does not hold.
        """
        leeway = self.leeway_seconds
        valid_until = check.check_expiry(claims, now=now, leeway_seconds=leeway)
        valid_from = check.check_not_before(claims, now=now, leeway_seconds=leeway)
        check.check_audience(claims, self.audiences)
        check.check_subject(claims)
        check.check_token_id(claims)
        check.check_use(claims)
        if not self.accept_sender_constrained:
            check.check_bearer(claims)
        if self.profile is not None:
            check.check_access_token_profile(claims)
        return valid_from, valid_until

    def _check_type(self, header: Header) -> None:
        """Reject a token that is typed as something else.  Source: RFC 8725 §3.11, RFC 9068 §4."""
        typ = None if header.typ is None else header.typ.lower().removeprefix("application/")
        if typ not in self._types:
            raise MalformedTokenError("typ is not that of an access token")


def checked_keys(keys: KeySource | None) -> KeySource:
    """
    Return *keys*, if they can verify anything.

    Raises:
        ConfigurationError: They are no key source, or a set of keys that only sign.
    """
    can_verify = any(key.can_verify for key in keys) if isinstance(keys, KeySet) else True
    if keys is None or not can_verify or not is_key_source(keys):
        raise ConfigurationError(
            "keys must be a KeySet with a key in it that can verify, or a key source"
        )
    return keys


def is_key_source(keys: object) -> bool:
    """Tell whether the class of *keys* has the methods of :class:`KeySource`."""
    # Looked up on the class: an instance may answer to any name, as a Mock does, and a class given
    # in place of an instance has the names as well.
    methods = (getattr(type(keys), name, None) for name in ("current", "refreshed"))
    return all(map(callable, methods))


def by_issuer(trusted: Iterable[TrustedIssuer]) -> Mapping[str, TrustedIssuer]:
    """
    Index issuers by their *iss*.

    Raises:
        ConfigurationError: There is none, or one twice, or something else among them.
    """
    issuers = list(trusted)
    if not all(isinstance(one, TrustedIssuer) for one in issuers):
        raise ConfigurationError("trusted must hold TrustedIssuer objects")
    index = {one.issuer: one for one in issuers}
    if not index:
        raise ConfigurationError("give keys, issuer and audience, or at least one trusted issuer")
    if len(index) != len(issuers):
        raise ConfigurationError("an issuer is trusted twice: give its audiences in one place")
    return index
