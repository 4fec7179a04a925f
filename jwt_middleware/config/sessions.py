"""``[sessions]`` and ``[login]``: what outlives a token, and how often somebody may try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..endpoint.address import ClientAddresses
from ..endpoint.limits import (
    DEFAULT_MAX_PER_ACCOUNT,
    DEFAULT_MAX_PER_ADDRESS,
    DEFAULT_WINDOW_SECONDS,
    LoginThrottle,
)
from ..sessions import Revocations, Sessions, SessionStore
from ..sessions.lifetimes import (
    DEFAULT_GRACE_SECONDS,
    DEFAULT_MAX_LIFETIME_SECONDS,
    DEFAULT_REFRESH_LIFETIME_SECONDS,
    Lifetimes,
)
from ..sessions.revocation.follower import DEFAULT_MAX_DELAY_SECONDS
from .reading import Section, number, setting, text, whole
from .stores import build_store, check_processes

if TYPE_CHECKING:
    from ..core.issuer import TokenIssuer
    from .endpoint import EndpointSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings(Section):
    """
    ``[sessions]``: without this table tokens cannot be refreshed or revoked.

    Attributes:
        url: Of the store; an SQLite file is relative to the configuration file's folder.
        issuer: Whose sessions they are; by default the file's own issuer.
        max_lifetime_seconds: Of a session, however often it is refreshed.
        grace_seconds: How long a refresh token may be used twice.
        max_delay_seconds: How late a process may learn of a revocation.
    """

    url: str = setting(text, example='url = "sqlite:///sessions.db"')
    issuer: str | None = setting(text, None)
    max_lifetime_seconds: int = setting(whole, DEFAULT_MAX_LIFETIME_SECONDS)
    grace_seconds: float = setting(number, DEFAULT_GRACE_SECONDS)
    max_delay_seconds: float = setting(number, DEFAULT_MAX_DELAY_SECONDS)

    def build_store(self, *, creates_tables: bool = True) -> SessionStore:
        """
        Make the store.  Connects nothing and creates nothing.

        Args:
            creates_tables: Whether its first use creates what is missing.

        Raises:
            ConfigurationError: The URL is unusable, or what its store needs is not installed.
        """
        place = self.place.member("url")
        return build_store(self.url, place, creates_tables=creates_tables)

    def build_shared_store(self) -> SessionStore:
        """
        Make the store for another process than the issuer's; its first use creates nothing.

        Raises:
            ConfigurationError: As for :meth:`build_store`, and if no other process can see it.
        """
        store = self.build_store(creates_tables=False)
        if store.single_process:
            raise self.place.member("url").error(
                "memory:// is seen by the running app alone: write sqlite:///sessions.db"
            )
        return store

    def build(
        self, *, issuer: TokenIssuer, endpoint: EndpointSettings, environ: Mapping[str, str]
    ) -> Sessions:
        """
        Make the sessions of an endpoint.

        Args:
            issuer: Issues their tokens.
            endpoint: Whose they are.
            environ: Environment variables, which may tell how many processes there are to be.

        Raises:
            ConfigurationError: As for :meth:`build_store`, if the store is of one process where
                there are to be several, and if a setting is unusable.
        """
        if self.issuer not in {None, issuer.issuer}:
            raise self.place.member("issuer").error(
                "is not the one that [endpoint] issues for: leave it out"
            )
        refresh_lifetime_seconds = endpoint.refresh_lifetime_seconds
        if refresh_lifetime_seconds is None:
            refresh_lifetime_seconds = DEFAULT_REFRESH_LIFETIME_SECONDS
        with endpoint.place.named_by_member():  # first alone, as it stands in another table
            Lifetimes(
                token_lifetime_seconds=issuer.lifetime_seconds,
                refresh_lifetime_seconds=refresh_lifetime_seconds,
                max_lifetime_seconds=refresh_lifetime_seconds,
            )
        store = self.build_store()
        check_processes(store, environ, self.place.member("url"))
        with self.place.named_by_member():
            return Sessions(
                store=store,
                issuer=issuer,
                refresh_lifetime_seconds=refresh_lifetime_seconds,
                max_lifetime_seconds=self.max_lifetime_seconds,
                grace_seconds=self.grace_seconds,
                max_delay_seconds=self.max_delay_seconds,
            )

    def build_revocations(self, issuer: str | None) -> Revocations:
        """
        Make what follows the revocations of an issuer elsewhere, in its store.

        Args:
            issuer: The file's own issuer, if it has one.

        Raises:
            ConfigurationError: As for :meth:`build_shared_store` and :meth:`whose`, and if a
                setting is unusable.
        """
        whose, store = self.whose(issuer), self.build_shared_store()
        with self.place.named_by_member():
            return Revocations(store, issuer=whose, max_delay_seconds=self.max_delay_seconds)

    def whose(self, issuer: str | None) -> str:
        """
        Return whose sessions are in the store: the *iss* of their tokens.

        Args:
            issuer: The file's own issuer, if it has one.

        Raises:
            ConfigurationError: Neither the table nor the file names one.
        """
        if self.issuer is None and issuer is None:
            raise self.place.member("issuer").error(
                'is missing: say whose sessions they are: issuer = "https://auth.example.com"'
            )
        return self.issuer or issuer or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSettings(Section):
    """
    ``[login]``: how often somebody may try.

    Attributes:
        max_per_account: Attempts within the window; 0 for no limit.
        max_per_address: The same of one client address.
        window_seconds: Sliding.
        trusted_proxies: How many proxies of one's own stand before the server.
    """

    max_per_account: int = setting(whole, DEFAULT_MAX_PER_ACCOUNT)
    max_per_address: int = setting(whole, DEFAULT_MAX_PER_ADDRESS)
    window_seconds: float = setting(number, float(DEFAULT_WINDOW_SECONDS))
    trusted_proxies: int = setting(whole, 0)

    def build(self, store: SessionStore) -> LoginThrottle:
        """
        Make the limits.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        with self.place.named_by_member():
            ClientAddresses(self.trusted_proxies)  # the endpoint's, and no setting of its table
            return LoginThrottle(
                store,
                max_per_account=self.max_per_account,
                max_per_address=self.max_per_address,
                window_seconds=self.window_seconds,
            )
