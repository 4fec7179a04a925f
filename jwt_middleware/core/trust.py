"""Trusted issuers: their keys, and the checks of their tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from ..bounds import check_seconds
from ..errors import (
    AlgorithmNotAllowedError,
    ConfigurationError,
    InvalidClaimError,
    MalformedTokenError,
    UnavailableError,
    UnknownKeyError,
)
from ..events import logger
from . import claims as check
from .claim_path import (
    ClaimName,
    ClaimPath,
    Claims,
    ScopePlace,
    parse_path,
    parse_paths,
    parse_scopes_from,
)
from .jws import Header, checked_algorithms, parse_header
from .keys import Key, KeySet
from .terms import (
    RFC9068_TYPE,
    Kind,
    Profile,
    read_accepted_types,
    read_audiences,
    read_header,
    read_remote_user,
    read_subject_sources,
    read_tenants,
)

MAX_LEEWAY_SECONDS: Final = 300
DEFAULT_LEEWAY_SECONDS: Final = 30
"""Default leeway for other services' issuers, whose clocks may differ."""
MAX_LIFETIME_SECONDS: Final = 100 * 366 * 86_400
MAX_KNOWN_HEADERS: Final = 256

Found: TypeAlias = tuple[KeySet, Header, tuple[Key, ...]]
"""Current keys, a header, and the keys that may have signed under it."""

# Entra ID's issuers of a tenant, for tokens of version 2 and 1, by cloud.
_ENTRA_ISSUERS: Final = (
    ("https://login.microsoftonline.com/{}/v2.0", "https://sts.windows.net/{}/"),
    ("https://login.microsoftonline.us/{}/v2.0", "https://sts.windows.net/{}/"),
    ("https://login.partner.microsoftonline.cn/{}/v2.0", "https://sts.chinacloudapi.cn/{}/"),
)


class KeySource(Protocol):
    """A source of an issuer's keys.  A :class:`KeySet` is a constant one."""

    def current(self) -> KeySet:
        """
        Return the current keys: the same object until they change.

        Called for every request.  It may block only while there are no keys yet.

        Raises:
            UnavailableError: There are no keys, or they are too old.
        """
        ...

    def refreshed(self, kid: str | None) -> KeySet:
        """
        Refresh and return the keys, for a token that matches none of the current keys.

        Args:
            kid: The token's *kid*, unverified.

        Raises:
            UnavailableError: As :meth:`current`.
        """
        ...


class TrustedIssuer:
    """
    An issuer whose tokens are accepted.

    A claim is given by its name, or by the list of names that lead to it, one for each object.  A
    string is always one name, since names may contain dots.

    Args:
        issuer: Its *iss*, compared exactly.  With *tenants* it contains ``{tid}``.
        audience: One *aud* or several; a token must name one of them.
        keys: Its keys: a :class:`KeySet` or a key source.
        tenants: Trusted Entra ID tenants: *iss* must be *issuer* with the token's *tid*, which must
            be one of these.
        algorithms: Accepted algs; ``None`` accepts those of its keys.
        leeway_seconds: Clock-skew allowance for *exp*, *nbf* and *iat*, up to
            :data:`MAX_LEEWAY_SECONDS`.
        token_type: ``None`` accepts the *typ* ``JWT``, ``at+jwt`` or none; ``"at+jwt"`` only this
            one (RFC 9068 §4).  Case and a leading ``application/`` are ignored.
        remote_user: Template of ``REMOTE_USER`` for its tokens: ``"partner:{sub}"``.  ``None``
            means *sub* if no other issuer is trusted, and otherwise no ``REMOTE_USER``.
        profile: ``"at+jwt"`` requires RFC 9068: this *typ*, *client_id*, *iat* and *jti*.
        kind: ``"access"`` refuses ID tokens, ``"id"`` access tokens.
        audience_claim: The claim that replaces *aud*, which is then ignored.
        subject_from: Claims with the subject: ``"sub"``, or mappings with ``claim`` and ``prefix``.
            The first non-empty string is used; a *sub* that starts with one of the prefixes is
            refused.
        scopes_from: Claims with scopes, which are combined: claims, or mappings with ``claim`` and
            ``keys=True`` for the keys of an object.  ``None`` means *scope*, or else *scp*.
        require_any: Claims of which one must be present and not empty.
        max_token_lifetime_seconds: Maximum time from *iat* to *exp*.
        header: The only request header that its tokens are accepted in, instead of
            ``Authorization``.
        accept_sender_constrained: Whether a token with *cnf* is accepted as a bearer token.

    Raises:
        ConfigurationError: An argument is missing or invalid.
    """

    def __init__(  # noqa: PLR0913  one parameter for each thing that providers do differently
        self,
        *,
        issuer: str,
        audience: str | Iterable[str],
        keys: KeySource,
        tenants: Iterable[str] | None = None,
        algorithms: Iterable[str] | None = None,
        leeway_seconds: float = DEFAULT_LEEWAY_SECONDS,
        token_type: Profile | None = None,
        profile: Profile | None = None,
        remote_user: str | None = None,
        kind: Kind = "access",
        audience_claim: ClaimName | None = None,
        subject_from: Sequence[ClaimName | Mapping[str, object]] | None = None,
        scopes_from: Sequence[ClaimName | Mapping[str, object]] | None = None,
        require_any: Sequence[ClaimName] | None = None,
        max_token_lifetime_seconds: float | None = None,
        header: str | None = None,
        accept_sender_constrained: bool = False,
    ) -> None:
        self.issuer = issuer
        self.tenants: Mapping[str, str] = read_tenants(issuer, tenants)
        self.audiences: frozenset[str] = read_audiences(audience)
        accepted = checked_algorithms(algorithms)
        self.algorithms: frozenset[str] | None = None if accepted is None else frozenset(accepted)
        check_seconds("leeway_seconds", leeway_seconds, 0, MAX_LEEWAY_SECONDS)
        self.leeway_seconds = leeway_seconds
        self.kind = kind
        self.profile = profile
        self._types = read_accepted_types(kind, token_type, profile)
        self.audience_claim: ClaimPath = (
            ("aud",) if audience_claim is None else parse_path(audience_claim, "audience_claim")
        )
        self.subject_from: tuple[check.SubjectSource, ...] | None = (
            None if subject_from is None else read_subject_sources(subject_from)
        )
        self.scopes_from: tuple[ScopePlace, ...] | None = (
            None if scopes_from is None else parse_scopes_from(scopes_from)
        )
        self.require_any: tuple[ClaimPath, ...] | None = (
            None if require_any is None else parse_paths(require_any, "require_any")
        )
        if max_token_lifetime_seconds is not None:
            check_seconds(
                "max_token_lifetime_seconds", max_token_lifetime_seconds, 1, MAX_LIFETIME_SECONDS
            )
        self.max_token_lifetime_seconds = max_token_lifetime_seconds
        terms = (profile, audience_claim, subject_from, require_any, max_token_lifetime_seconds)
        self._is_usual = (
            kind == "access" and not self.tenants and all(term is None for term in terms)
        )
        self.header: str | None = read_header(header)
        self.remote_user: str | None = read_remote_user(remote_user)
        self.accept_sender_constrained = accept_sender_constrained
        self.keys: KeySource = checked_keys(keys)
        self._known_headers: dict[bytes, Found] = {}

    def __repr__(self) -> str:
        return f"<TrustedIssuer {self.issuer!r} audience={sorted(self.audiences)}>"

    @property
    def token_type(self) -> Profile | None:
        """The only accepted *typ*, or ``None``; *profile* implies ``"at+jwt"``."""
        return "at+jwt" if self._types is RFC9068_TYPE else None

    @property
    def issuers(self) -> tuple[str, ...]:
        """The *iss* values of its tokens: one, or one for each tenant."""
        return tuple(self.tenants) or (self.issuer,)

    def known_keys(self, segment: bytes) -> Found | None:
        """Return the cached result of :meth:`find_keys` if the keys have not changed."""
        known = self._known_headers.get(segment)
        return known if known is not None and known[0] is self.keys.current() else None

    def find_keys(self, segment: bytes) -> Found:
        """
        Parse a header segment and return the keys that may have signed under it.

        Returns:
            The current key set, the header, and at least one of the set's keys.

        Raises:
            MalformedTokenError: The header is invalid, or of another kind of token.
            AlgorithmNotAllowedError: Its alg is not accepted, or not the key's.
            UnknownKeyError: Its kid is unknown, even after a refresh.
            UnavailableError: There are no keys.
        """
        known = self.known_keys(segment)
        if known is not None:
            return known
        keys = self.keys.current()
        header = parse_header(segment)
        self._check_type(header)
        if self.algorithms is not None and header.alg not in self.algorithms:
            raise AlgorithmNotAllowedError("alg is not accepted for this issuer")
        try:
            return keys, header, keys.candidates(header)
        except (UnknownKeyError, AlgorithmNotAllowedError):
            keys = self.keys.refreshed(header.kid)
            return keys, header, keys.candidates(header)

    def find_newer_keys(self, found: Found) -> Found | None:
        """
        Refresh the keys and repeat :meth:`find_keys`; ``None`` if they have not changed.

        For a signature that no key in *found* made: keys are replaced under the same kid.

        Raises:
            InvalidTokenError: As :meth:`find_keys`.
            UnavailableError: As :meth:`find_keys`.
        """
        keys, header, _ = found
        newer = self.keys.refreshed(header.kid)
        return None if newer is keys else (newer, header, newer.candidates(header))

    def remember_header(self, segment: bytes, found: Found) -> None:
        """Cache a result of :meth:`find_keys` after a valid signature."""
        if self._known_headers.get(segment) is found:
            return
        if len(self._known_headers) >= MAX_KNOWN_HEADERS:
            self._known_headers.clear()
        self._known_headers[segment] = found

    def permitted_signer(
        self, signers: Iterable[Key], claims: Claims, *, keys: KeySet, now: float
    ) -> Key:
        """
        Return the first of *signers* that is permitted by its dates and issuer.

        Raises:
            UnknownKeyError: The certificates have expired or are not valid yet.
            UnavailableError: No certificate in *keys* is valid now.
            InvalidClaimError: The keys' JWKs name other issuers.
        """
        valid = [key for key in signers if key.valid_from <= now < key.valid_until]
        if not valid:
            if not any(key.valid_from <= now < key.valid_until for key in keys):
                raise UnavailableError(f"no certificate of {self.issuer} is valid now")
            logger.warning("a certificate of %s has expired, or is not valid yet", self.issuer)
            raise UnknownKeyError("the key's certificate is not valid now")
        for key in valid:
            if key.issuer is None or _is_issuer(key.issuer, claims):
                return key
        raise InvalidClaimError("iss is not the issuer that the key is for", claim="iss")

    def check_claims(self, claims: Claims, now: float) -> tuple[str, float, float]:
        """
        Check the claims of a token of this issuer, after its signature.

        Returns:
            The subject, and the token's period of validity in seconds since the epoch.

        Raises:
            InvalidClaimError: A claim is invalid; see the subclasses.
        """
        valid_from, valid_until = check.check_times(claims, now, self.leeway_seconds)
        subject = check.usual_subject(claims, self.audiences) if self._is_usual else None
        if subject is None:
            subject = self._check_one_by_one(claims)
        return subject, valid_from, valid_until

    def _check_one_by_one(self, claims: Claims) -> str:
        check.check_audience(claims, self.audiences, self.audience_claim)
        if self.subject_from is None:
            subject = check.check_subject(claims)
        else:
            subject = check.check_subject_from(claims, self.subject_from)
        check.check_token_id(claims)
        if self.kind == "access":
            check.check_use(claims)
        else:
            check.check_id_token(claims)
        if not self.accept_sender_constrained:
            check.check_bearer(claims)
        if self.profile is not None:
            check.check_access_token_profile(claims)
        if self.tenants:
            check.check_tenant(claims, self.tenants)
        if self.require_any is not None:
            check.check_any_of(claims, self.require_any)
        if self.max_token_lifetime_seconds is not None:
            check.check_lifetime(claims, max_seconds=self.max_token_lifetime_seconds)
        return subject

    def _check_type(self, header: Header) -> None:
        """Reject a token with another *typ*.  Source: RFC 8725 §3.11, RFC 9068 §4."""
        typ = None if header.typ is None else header.typ.lower().removeprefix("application/")
        if typ not in self._types:
            raise MalformedTokenError(f"typ is not that of an {self.kind} token")


def _is_issuer(named: str, claims: Claims) -> bool:
    """
    Return whether the *issuer* of a JWK matches the *iss* of a token.

    ``{tenantid}`` is replaced by the token's *tid*; both issuer versions of an Entra ID tenant
    match.
    """
    issuer, tenant = claims.get("iss"), claims.get("tid")
    if isinstance(tenant, str):
        named = named.replace("{tenantid}", tenant)
        for versions in _ENTRA_ISSUERS:
            spellings: list[object] = [one.format(tenant) for one in versions]
            if named in spellings and issuer in spellings:
                return True
    return issuer == named


def checked_keys(keys: KeySource | None) -> KeySource:
    """
    Check that *keys* can verify, and return them.

    Raises:
        ConfigurationError: They are not a key source, or a set of keys that only sign.
    """
    can_verify = any(key.can_verify for key in keys) if isinstance(keys, KeySet) else True
    if keys is None or not can_verify or not is_key_source(keys):
        raise ConfigurationError(
            "keys must be a KeySet with a key in it that can verify, or a key source"
        )
    return keys


def is_key_source(keys: object) -> bool:
    """Return whether the class of *keys* has the methods of :class:`KeySource`."""
    # Checked on the class: an instance may have any attribute, like a Mock, and a class passed
    # instead of an instance has the methods, too.
    methods = (getattr(type(keys), name, None) for name in ("current", "refreshed"))
    return all(map(callable, methods))


def by_issuer(trusted: Iterable[TrustedIssuer]) -> Mapping[str, TrustedIssuer]:
    """
    Index issuers by their *iss*.

    Raises:
        ConfigurationError: It is empty, has duplicates, or other objects.
    """
    issuers = list(trusted)
    if not all(isinstance(one, TrustedIssuer) for one in issuers):
        raise ConfigurationError("trusted must hold TrustedIssuer objects")
    index = {name: one for one in issuers for name in one.issuers}
    if not index:
        raise ConfigurationError("give keys, issuer and audience, or at least one trusted issuer")
    if len(index) != sum(len(one.issuers) for one in issuers):
        raise ConfigurationError("an issuer is trusted twice: give its audiences in one place")
    return index
