"""``[[trusted]]``: issuers of other services, and the settings of every issuer's tokens."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from ..core.jws import ALGORITHMS
from ..core.keys import Key, KeySet
from ..core.terms import Kind, Terms
from ..core.trust import DEFAULT_LEEWAY_SECONDS, KeySource, TrustedIssuer
from ..wsgi.environ import ClaimName
from .keys import read_secret_source
from .reading import (
    Section,
    choice,
    environ_keys,
    flag,
    items,
    number,
    setting,
    text,
    text_or_items,
    text_or_texts,
    texts,
)

if TYPE_CHECKING:
    from ..keysources.remote.discovery import DiscoveredJWKS
    from ..keysources.remote.remote import RemoteJWKS

_SOURCES: Final = (
    *("discovery", "jwks_url", "jwks_file", "discovery_url", "secret_file", "secret_env"),
)
_FETCHED: Final = ("discovery", "discovery_url", "jwks_url")
_OF_URLS: Final = ("max_stale_seconds", "allow_http", "ca_file", "bearer_token_file")
_OF_ONE_KEY: Final = ("jwks_file", "secret_file", "secret_env")


class TermSettings(Section):
    """
    How the tokens of an issuer are read; checked by :class:`~jwt_middleware.TrustedIssuer`.

    Attributes:
        kind: Whether access or ID tokens are accepted.
        audience_claim: The claim to read instead of ``aud``.
        subject_from: Claims with the subject; the first one present is used.  Another claim than
            ``sub`` gets a prefix: ``["sub", { claim = "client_id", prefix = "client:" }]``.
        scopes_from: Claims with scopes, which are combined:
            ``["scope", ["realm_access", "roles"], { claim = "projects", keys = true }]``.  By
            default ``scope``, or else ``scp``.
        require_any: Claims, one of which must be present and not empty.
        max_token_lifetime_seconds: Maximum time from ``iat`` to ``exp``; by default no limit.
        header: The only request header in which the tokens are accepted.
        accept_sender_constrained: Accept tokens bound to a key (``cnf``) as plain bearer tokens.
    """

    issuer: str | None = setting(text, None)
    audience: tuple[str, ...] | None = setting(text_or_texts, None)
    kind: Kind | None = setting(choice("access", "id"), None, unset="access")
    audience_claim: str | list[Any] | None = setting(text_or_items, None, unset="aud")
    subject_from: list[Any] | None = setting(items, None, unset=["sub"])
    scopes_from: list[Any] | None = setting(items, None)
    require_any: list[Any] | None = setting(items, None)
    max_token_lifetime_seconds: float | None = setting(number, None)
    header: str | None = setting(text, None, unset="Authorization")
    accept_sender_constrained: bool | None = setting(flag, None, unset=False)

    def terms(self) -> Terms:
        """Return the settings that the file has."""
        given = {name: getattr(self, name) for name in Terms.__annotations__}
        return cast(Terms, {name: value for name, value in given.items() if value is not None})


class TrustedSettings(TermSettings):
    """
    ``[[trusted]]``: another issuer whose tokens are accepted; one table for each.

    Without ``[endpoint]``, the ``issuer``, ``audience`` and ``[keys]`` of the file can be left out.
    Set exactly one of ``discovery``, ``discovery_url``, ``jwks_url``, ``jwks_file``,
    ``secret_file`` and ``secret_env`` for its keys.

    Attributes:
        issuer: ``iss`` of its tokens, compared character by character.
        audience: ``aud``; a token must have one of a list.
        tenants: Tenants of Entra ID, each a value of ``{tid}`` in ``issuer``.
        discovery: Find its keys by its metadata, below ``issuer``.
        discovery_url: URL of its metadata, if not below ``issuer``.
        jwks_url: URL of its keys: a JWK set, or a map of kids to PEM.
        jwks_file: File of its keys: a JWK set, a JWK, PEM or certificates; read again when it
            changes.
        secret_file: File with the HMAC secret shared with this service.
        secret_env: Environment variable with that secret.
        kid: Name of the key in token headers, for one PEM or a secret; by default derived from it.
        algorithms: Accepted algs; by default those of its keys, and ``HS256`` for a secret.
        leeway_seconds: Allowed clock skew, up to 300.
        token_type: ``"at+jwt"`` accepts no other ``typ``; by default ``JWT``, ``at+jwt`` and no
            ``typ`` are accepted.
        profile: ``"at+jwt"`` requires all of RFC 9068.
        remote_user: ``REMOTE_USER`` for its tokens, ``"partner:{sub}"``; by default ``sub`` if no
            other issuer is trusted, otherwise not set.
        max_stale_seconds: Maximum age of its keys while they cannot be fetched; then 503.
        allow_http: Allow plain HTTP from another machine.
        ca_file: PEM of trusted certificate authorities; by default the system's.
        bearer_token_file: File with a bearer token for the URL, read for each fetch and sent only
            to its origin.
        environ: Claims of its tokens as environ keys, ``{ HTTP_X_FORWARDED_EMAIL = "email" }``.
    """

    issuer: str = setting(text, example='issuer = "https://login.example.org"')
    audience: tuple[str, ...] = setting(text_or_texts, example='audience = "api"')
    tenants: tuple[str, ...] | None = setting(texts, None)
    discovery: bool = setting(flag, default=False)
    discovery_url: str | None = setting(text, None)
    jwks_url: str | None = setting(text, None)
    jwks_file: str | None = setting(text, None)
    secret_file: str | None = setting(text, None)
    secret_env: str | None = setting(text, None)
    kid: str | None = setting(text, None)
    algorithms: tuple[str, ...] | None = setting(texts, None)
    leeway_seconds: float = setting(number, float(DEFAULT_LEEWAY_SECONDS))
    token_type: Literal["at+jwt"] | None = setting(choice("at+jwt"), None)
    profile: Literal["at+jwt"] | None = setting(choice("at+jwt"), None)
    remote_user: str | None = setting(text, None)
    max_stale_seconds: float | None = setting(number, None, unset=86_400.0)
    allow_http: bool = setting(flag, default=False)
    ca_file: str | None = setting(text, None)
    bearer_token_file: str | None = setting(text, None)
    environ: Mapping[str, ClaimName] | None = setting(environ_keys, None)

    def build(self, keys: KeySource | None = None) -> TrustedIssuer:
        """
        Build the issuer, without fetching anything.

        Args:
            keys: Its keys; ``None`` builds those of the entry.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        if keys is None:
            return build_trusted([self])[0]
        with self.place.named_by_member():
            return TrustedIssuer(
                issuer=self.issuer,
                audience=self.audience,
                keys=keys,
                tenants=self.tenants,
                algorithms=self.algorithms,
                leeway_seconds=self.leeway_seconds,
                token_type=self.token_type,
                profile=self.profile,
                remote_user=self.remote_user,
                **self.terms(),
            )

    def source(self) -> str:
        """
        Return the name of the setting for its keys.

        Raises:
            ConfigurationError: There is not exactly one, or another setting does not fit it.
        """
        given = [source for source in _SOURCES if getattr(self, source)]
        if len(given) != 1:
            raise self.place.error(
                f"has no keys: add discovery = true, {', '.join(_SOURCES[1:])}"
                if not given
                else f"{' and '.join(given)} exclude each other: keep one"
            )
        source = given[0]
        for name in _OF_URLS:
            if getattr(self, name) and source not in _FETCHED:
                raise self.place.member(name).error(
                    f"is for fetched keys, not for {source}: leave it out"
                )
        if self.kid is not None and source not in _OF_ONE_KEY:
            raise self.place.member("kid").error(
                f"is for the key of a PEM or a secret, not for {source}: leave it out"
            )
        return source

    def fetched_from(self) -> _Fetched | None:
        """Return how the keys are fetched, or ``None`` if they are not fetched."""
        source = self.source()
        if source not in _FETCHED:
            return None
        return _Fetched(
            issuer=None if source == "jwks_url" else self.issuer,
            url=self.jwks_url if source == "jwks_url" else self.discovery_url,
            allow_http=self.allow_http,
            ca_file=self._path(self.ca_file),
            bearer_token_file=self._path(self.bearer_token_file),
            max_stale_seconds=self.max_stale_seconds,
        )

    def build_local_keys(self, environ: Mapping[str, str]) -> KeySource:
        """
        Build the keys that are not fetched: those of a file or a secret.

        Raises:
            ConfigurationError: They cannot be read, or are unusable.
        """
        source = self.source()
        place = self.place.member(source)
        if source == "jwks_file":
            from ..keysources.file.keyfile import KeyFile  # noqa: PLC0415  only where it is used

            with place.named():
                return KeyFile(
                    self._path(self.jwks_file) or "", algorithms=self.algorithms, kid=self.kid
                )
        secret = read_secret_source(source, getattr(self, source), place, environ)
        algorithms = self.algorithms or ("HS256",)
        with place.named():
            return KeySet(
                [Key.from_secret(secret, alg=alg, kid=self.kid) for alg in algorithms],
                allow_shared_kids=True,
            )

    def _path(self, name: str | None) -> str | None:
        return None if name is None else str(self.place.file.parent / name)


class _Fetched(NamedTuple):
    """How keys are fetched; entries with equal values share one source."""

    issuer: str | None
    url: str | None
    allow_http: bool
    ca_file: str | None
    bearer_token_file: str | None
    max_stale_seconds: float | None

    def build(self, algorithms: Sequence[str] | None) -> RemoteJWKS | DiscoveredJWKS:
        from ..keysources.remote.discovery import DiscoveredJWKS  # noqa: PLC0415  only where used
        from ..keysources.remote.remote import RemoteJWKS  # noqa: PLC0415  the same

        options: dict[str, Any] = {
            "algorithms": algorithms,
            "allow_http": self.allow_http,
            "ca_file": self.ca_file,
            "bearer_token_file": self.bearer_token_file,
        }
        if self.max_stale_seconds is not None:
            options["max_stale_seconds"] = self.max_stale_seconds
        if self.issuer is None:
            return RemoteJWKS(self.url or "", **options)
        return DiscoveredJWKS(self.issuer, discovery_url=self.url, **options)


def build_trusted(
    entries: Iterable[TrustedSettings], environ: Mapping[str, str] = os.environ
) -> list[TrustedIssuer]:
    """
    Build the issuers of ``[[trusted]]``, without fetching anything.

    Args:
        entries: The tables of the file.
        environ: Environment variables, for ``secret_env``.

    Raises:
        ConfigurationError: An entry does not have exactly one source of keys, or a setting is
            unusable.
    """
    entries = list(entries)
    sharing: dict[_Fetched, list[TrustedSettings]] = {}
    for entry in entries:
        if (fetched := entry.fetched_from()) is not None:
            sharing.setdefault(fetched, []).append(entry)
    sources: dict[_Fetched, KeySource] = {}
    for fetched, sharers in sharing.items():
        first = sharers[0]
        with first.place.member(first.source()).named():
            sources[fetched] = fetched.build(_joined_algorithms(sharers))
    return [
        entry.build(
            entry.build_local_keys(environ)
            if (fetched := entry.fetched_from()) is None
            else sources[fetched]
        )
        for entry in entries
    ]


def _joined_algorithms(entries: Sequence[TrustedSettings]) -> Sequence[str] | None:
    """
    Return the algs that entries with shared keys accept together; each uses its own part.

    If only some are limited, an RSA key without an alg serves them all.
    """
    named = [entry.algorithms for entry in entries]
    if all(algorithms is None for algorithms in named):
        return None
    if None in named:
        return [alg for alg in ALGORITHMS if not alg.startswith("HS")]
    return list(dict.fromkeys(alg for algorithms in named for alg in algorithms or ()))
