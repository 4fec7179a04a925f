"""``[[trusted]]``: issuers that somebody else runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from ..core.trust import KeySource, TrustedIssuer
from ..keysources.file.keyfile import KeyFile
from ..keysources.remote.discovery import DiscoveredJWKS
from ..keysources.remote.remote import RemoteJWKS
from .reading import Section, choice, flag, number, setting, text, text_or_texts, texts

_SOURCES: Final = ("discovery", "jwks_url", "jwks_file")
_OF_URLS: Final = ("max_stale_seconds", "allow_http", "ca_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedSettings(Section):
    """
    One of ``[[trusted]]``.

    Attributes:
        discovery: Its metadata say where its keys are; else *jwks_url* or *jwks_file* does.
        jwks_file: A JWK set, a JWK or a PEM, read again when it changes.
        algorithms: The algs accepted of it; a key of a PEM is for the first that fits it.
        remote_user: What ``REMOTE_USER`` is for its tokens, ``"partner:{sub}"``.
        accept_sender_constrained: Whether tokens with *cnf* are accepted as bearer tokens.
        max_stale_seconds: How old keys may grow while their URL cannot be fetched.
        allow_http: Whether its URLs may be plain HTTP on another machine than this.
        ca_file: PEM of the authorities to trust, instead of the system's.
    """

    issuer: str = setting(text, example='issuer = "https://login.example.org"')
    audience: tuple[str, ...] = setting(text_or_texts, example='audience = "api"')
    discovery: bool = setting(flag, default=False)
    jwks_url: str | None = setting(text, None)
    jwks_file: str | None = setting(text, None)
    algorithms: tuple[str, ...] | None = setting(texts, None)
    leeway_seconds: float = setting(number, 0.0)
    token_type: Literal["at+jwt"] | None = setting(choice("at+jwt"), None)
    profile: Literal["at+jwt"] | None = setting(choice("at+jwt"), None)
    remote_user: str | None = setting(text, None)
    accept_sender_constrained: bool = setting(flag, default=False)
    max_stale_seconds: float | None = setting(number, None)
    allow_http: bool = setting(flag, default=False)
    ca_file: str | None = setting(text, None)

    def build(self) -> TrustedIssuer:
        """
        Make the issuer.  Fetches nothing.

        Raises:
            ConfigurationError: There is not exactly one source of keys, or a setting is unusable.
        """
        keys = self._build_source()
        with self.place.named_by_member():
            return TrustedIssuer(
                issuer=self.issuer,
                audience=self.audience,
                keys=keys,
                algorithms=self.algorithms,
                leeway_seconds=self.leeway_seconds,
                token_type=self.token_type,
                profile=self.profile,
                remote_user=self.remote_user,
                accept_sender_constrained=self.accept_sender_constrained,
            )

    def _build_source(self) -> KeySource:
        given = [source for source in _SOURCES if getattr(self, source)]
        if len(given) != 1:
            raise self.place.error(
                "names no keys: add discovery = true, jwks_url or jwks_file"
                if not given
                else f"{' and '.join(given)} exclude each other: keep one"
            )
        if self.jwks_file is not None:
            return self._build_file(self.jwks_file)
        options: dict[str, Any] = {
            "algorithms": self.algorithms,
            "allow_http": self.allow_http,
            "ca_file": None if self.ca_file is None else self._path(self.ca_file),
        }
        if self.max_stale_seconds is not None:
            options["max_stale_seconds"] = self.max_stale_seconds
        with self.place.member(given[0]).named():
            if self.jwks_url is not None:
                return RemoteJWKS(self.jwks_url, **options)
            return DiscoveredJWKS(self.issuer, **options)

    def _build_file(self, name: str) -> KeyFile:
        for one in _OF_URLS:
            if getattr(self, one):
                raise self.place.member(one).error(
                    "is for keys that are fetched, not for jwks_file: leave it out"
                )
        with self.place.member("jwks_file").named():
            return KeyFile(self._path(name), algorithms=self.algorithms)

    def _path(self, name: str) -> str:
        return str(self.place.file.parent / name)
