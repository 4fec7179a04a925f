"""Logins: ``[accounts]``, ``[login]``, and the token endpoint, ``[endpoint]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..accounts import AccountLookup, AccountVerifier, ClientType
from ..accounts.identity import MAX_SECRET_CHARS
from ..bounds import check_whole
from ..core.issuer import DEFAULT_LIFETIME_SECONDS, DEFAULT_NBF_EARLY_SECONDS, TokenIssuer
from ..core.verifier import TokenVerifier
from ..endpoint.app import DEFAULT_MAX_BODY_BYTES, TokenEndpoint
from ..endpoint.limits import DEFAULT_ACCOUNT_DRIP, LoginLimits, LoginThrottle
from ..events import logger
from ..sessions import Sessions, SessionStore
from ..sessions.attempts import Drip
from ..sessions.session import DEFAULT_REFRESH_LIFETIME_SECONDS
from ..wsgi.responses import Responses
from .callables import find
from .reading import (
    Place,
    Section,
    drip,
    number,
    setting,
    table,
    text,
    text_members,
    text_or_texts,
    texts,
    whole,
    whole_members,
)

if TYPE_CHECKING:
    from ..accounts.hashing import SecretHasher
    from ..accounts.sql import SQLAccounts


BUCKETS: Final = ("known", "account", "leaf", "net", "wide", "address", "site")
_DEFAULTS: Final = LoginLimits()
CLIENT_TYPES: Final = tuple(member.label for member in ClientType)


class HasherSettings(Section):
    """
    ``[accounts.hasher]``: Argon2id; after a change, secrets are rehashed at the next login.

    Attributes:
        time_cost: Passes over the memory, 1 to 1,000.
        memory_cost_kib: Memory of one hash in KiB, at least 8 for each lane, up to 4 GiB.
        parallelism: Lanes, each computed by its own thread, 1 to 64.
        max_concurrent: Hashes computed at the same time in each process, 1 to 1,024.
        max_waiting: Logins that wait to be hashed in each process, up to 1,024; one more gets 503.
        max_wait_seconds: How long each waits before it gets 503, up to 60.
    """

    time_cost: int = setting(whole, 2)
    memory_cost_kib: int = setting(whole, 19_456)
    parallelism: int = setting(whole, 1)
    max_concurrent: int = setting(whole, 2)
    max_waiting: int = setting(whole, 4)
    max_wait_seconds: float = setting(number, 2.0)

    def build(self) -> SecretHasher:
        """
        Build the hasher.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        from ..accounts.hashing import SecretHasher  # noqa: PLC0415  needs argon2-cffi, an extra

        with self.place.named_by_member():
            return SecretHasher(
                time_cost=self.time_cost,
                memory_cost_kib=self.memory_cost_kib,
                parallelism=self.parallelism,
                max_concurrent=self.max_concurrent,
                max_waiting=self.max_waiting,
                max_wait_seconds=self.max_wait_seconds,
            )


class AccountSettings(Section):
    """
    ``[accounts]``: the database of accounts; needs the extra ``sql``.

    Attributes:
        url: An SQLite file, or ``postgresql://user@host/database`` with the password in
            ``~/.pgpass``.
        min_secret_chars: Minimum length of a new secret, 1 to 1,024; the most common secrets are
            refused at any length.
    """

    url: str = setting(text, example='url = "sqlite:///accounts.db"')
    min_secret_chars: int = setting(whole, 8)
    hasher: HasherSettings | None = setting(table(HasherSettings), None)

    def build(self) -> SQLAccounts:
        """
        Build the accounts, without connecting or creating anything.

        Raises:
            ConfigurationError: A setting is unusable, or the extra ``sql`` is not installed.
        """
        try:
            from ..accounts.sql import SQLAccounts  # noqa: PLC0415  needs argon2-cffi, an extra
            from ..sql.urls import parse_url  # noqa: PLC0415  only where it is used
        except ModuleNotFoundError as error:
            raise self.place.missing(error, extra="sql") from error
        hasher = None if self.hasher is None else self.hasher.build()
        with self.place.named_by_member():
            check_whole("min_secret_chars", self.min_secret_chars, 1, MAX_SECRET_CHARS)
        with self.place.member("url").named():
            url = parse_url(self.url).beside(self.place.file.parent)
            return SQLAccounts(url, hasher=hasher, min_secret_chars=self.min_secret_chars)


class LoginSettings(Section):
    """
    ``[login]``: limits of login attempts; see docs/sessions.md#logins.

    Each ``[burst, seconds]`` is a number of attempts, and the seconds until one more.

    Attributes:
        known: Attempts on an account, from an address where it has logged in.
        account: Attempts on an account, from all other addresses together.
        leaf: Attempts on an account, from one other address (IPv4, or IPv6 /64).
        net: Attempts on an account, from one /24 (IPv6: /48).
        wide: Attempts on an account, from one /16 (IPv6: /32).
        address: Attempts from one address, on all accounts together.
        site: Attempts from one IPv6 /48, on all accounts together.
        known_days: How long an address stays known after a login, up to 365.
        max_known: Maximum number of known addresses of an account.
        trusted_networks: Addresses that count as known, ``["10.0.0.0/8"]``.
        max_per_account: From version 0.1: sets all buckets of an account, and disables the default
            guarantee.
        max_per_address: From version 0.1: sets ``address`` and ``site``.
        window_seconds: From version 0.1: the period for these two; by default 60.
        trusted_proxies: The same as in ``[request]``, if left out there.
    """

    known: tuple[int, float] | None = setting(drip, None, unset=_DEFAULTS.known)
    account: tuple[int, float] | None = setting(drip, None, unset=_DEFAULTS.account)
    leaf: tuple[int, float] | None = setting(drip, None, unset=_DEFAULTS.leaf)
    net: tuple[int, float] | None = setting(drip, None, unset=_DEFAULTS.net)
    wide: tuple[int, float] | None = setting(drip, None, unset=_DEFAULTS.wide)
    address: tuple[int, float] | None = setting(drip, None, unset=_DEFAULTS.address)
    site: tuple[int, float] | None = setting(drip, None, unset=_DEFAULTS.site)
    known_days: float | None = setting(number, None, unset=_DEFAULTS.known_days)
    max_known: int | None = setting(whole, None, unset=_DEFAULTS.max_known)
    trusted_networks: tuple[str, ...] | None = setting(texts, None)
    max_per_account: int | None = setting(whole, None)
    max_per_address: int | None = setting(whole, None)
    window_seconds: float | None = setting(number, None)
    trusted_proxies: int = setting(whole, 0)

    def build(self, store: SessionStore) -> LoginThrottle:
        """
        Build the limits.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        with self.place.named_by_member():
            limits = LoginLimits.of_window(
                self.max_per_account, self.max_per_address, self.window_seconds
            )
            given: dict[str, Any] = {
                name: Drip(*value) if name in BUCKETS else value
                for name in (*BUCKETS, "known_days", "max_known", "trusted_networks")
                if (value := getattr(self, name)) is not None
            }
            throttle = LoginThrottle(store, limits=replace(limits, **given) if given else limits)
        self._warn_of_old_settings(limits)
        return throttle

    def _warn_of_old_settings(self, limits: LoginLimits) -> None:
        if self.max_per_account and limits.account is not None and self.account is None:
            logger.warning(
                "%s: login.max_per_account: strangers may guess each secret %d times at once and %g"
                " times an hour: leave it out for the default of %d and %g",
                self.place.file,
                limits.account.burst,
                3600 / limits.account.interval_seconds,
                DEFAULT_ACCOUNT_DRIP.burst,
                3600 / DEFAULT_ACCOUNT_DRIP.interval_seconds,
            )


def _lifetimes(value: object, place: Place) -> dict[str, dict[str, int]]:
    if not isinstance(value, dict):
        raise place.error("must be a table of client types")
    return {label: whole_members(one, place.member(label)) for label, one in value.items()}


class EndpointSettings(Section):
    """
    ``[endpoint]``: mounts the token endpoint; needs ``[accounts]`` or ``verifiers``.

    Client types are names for kinds of account: ``email``, ``mobile``, ``username``, ``service``,
    or your own names.

    Attributes:
        path: Path of the endpoint, with or without a final slash.
        lifetime_seconds: Lifetime of an access token.
        refresh_lifetime_seconds: Lifetime of a refresh token, renewed at each use; needs
            ``[sessions]``.
        client_types: The client types of ``[accounts]`` that may log in.
        verifiers: Client type to your own account verifier, ``{ ldap = "myapp.users:verify" }``.
        lookups: Client type to the function that finds such an account by its ``uid`` at each
            refresh, ``{ ldap = "myapp.users:lookup" }``; ``"none"`` skips this check.
        subjects: Client type to the form of ``sub``, ``{ ldap = "ldap:{uid}" }``; needed if
            accounts come from several sources.  By default ``"{uid}"``.
        lifetimes: Client type to its own lifetimes,
            ``{ service = { lifetime_seconds = 600, refresh_lifetime_seconds = 86400 } }``.
        forms: Client type to a subclass of ``ClientForm``, ``{ ldap = "myapp.forms:LDAPForm" }``.
        codes: Your own client type to the number that a form may send for it, ``{ ldap = 300 }``.
        client_id: ``client_id`` of tokens for logins that send none; without one, the ``typ`` of
            their tokens is ``JWT``.
        audience: ``aud`` of every issued token; by default the first ``audience`` of the file.
        nbf_early_seconds: How long before its issue a token is valid, for verifiers whose clock is
            behind, up to 60.
        max_body_bytes: Maximum size of a request body; a longer one gets 413.
    """

    path: str = setting(text, "/token")
    lifetime_seconds: int = setting(whole, DEFAULT_LIFETIME_SECONDS)
    refresh_lifetime_seconds: int | None = setting(
        whole, None, unset=DEFAULT_REFRESH_LIFETIME_SECONDS
    )
    client_types: tuple[str, ...] | None = setting(texts, None, unset=CLIENT_TYPES)
    verifiers: Mapping[str, str] | None = setting(text_members, None)
    lookups: Mapping[str, str] | None = setting(text_members, None)
    subjects: Mapping[str, str] | None = setting(text_members, None)
    lifetimes: Mapping[str, Mapping[str, int]] | None = setting(_lifetimes, None)
    forms: Mapping[str, str] | None = setting(text_members, None)
    codes: Mapping[str, int] | None = setting(whole_members, None)
    client_id: str | None = setting(text, None)
    audience: tuple[str, ...] | None = setting(text_or_texts, None)
    nbf_early_seconds: int = setting(whole, DEFAULT_NBF_EARLY_SECONDS)
    max_body_bytes: int = setting(whole, DEFAULT_MAX_BODY_BYTES)

    def build(
        self,
        issuer: TokenIssuer,
        *,
        accounts: SQLAccounts | None,
        sessions: Sessions | None,
        verifier: TokenVerifier | None,
        login: LoginSettings,
        responses: Responses,
        resources: Mapping[str, str],
        prefix: str,
    ) -> TokenEndpoint:
        """
        Build the endpoint; with *sessions*, its tokens can be refreshed and revoked.

        Raises:
            ConfigurationError: A setting is unusable, or needs sessions and there are none.
        """
        if sessions is None:
            self._refuse_settings_of_sessions()
            logger.warning(
                "%s: logins are not limited: add a [sessions] table, whose store counts them",
                self.place.file,
            )
        verifiers = self._verifiers_of(accounts) | self._by_name("verifiers")
        forms = self._by_name("forms")
        of_sessions: dict[str, Any] = {}
        if sessions is not None:
            of_sessions = {
                "sessions": sessions,
                "verifier": verifier,
                "throttle": login.build(sessions.store),
                "lookups": self._lookups_of(accounts, verifiers),
            }
        with self.place.named_by_member():
            return TokenEndpoint(
                issuer=issuer,
                verifiers=verifiers,
                path=self.path,
                max_body_bytes=self.max_body_bytes,
                subjects=self.subjects,
                lifetimes=self.lifetimes or {},
                forms=forms,
                codes=self.codes or {},
                responses=responses,
                trusted_proxies=responses.trusted_proxies,
                resources=resources,
                prefix=prefix,
                **of_sessions,
            )

    def _refuse_settings_of_sessions(self) -> None:
        for name in ("refresh_lifetime_seconds", "lookups"):
            if getattr(self, name) is not None:
                raise self.place.member(name).error(
                    "needs sessions: add a [sessions] table, or leave it out"
                )

    def subject(self, client_type: str, uid: int | str) -> str:
        """Return the subject of an account in ``[accounts]``."""
        return (self.subjects or {}).get(client_type, "{uid}").replace("{uid}", str(uid))

    def _verifiers_of(self, accounts: SQLAccounts | None) -> dict[str, AccountVerifier]:
        place = self.place.member("client_types")
        if accounts is None:
            if self.client_types is not None:
                raise place.error("are those of [accounts]: add that table, or leave them out")
            return {}
        if self.client_types == ():
            raise place.error("is empty: name one, or leave it out for all")
        with place.named():
            return {label: accounts.verifier(label) for label in self.client_types or CLIENT_TYPES}

    def _lookups_of(
        self, accounts: SQLAccounts | None, verifiers: Mapping[str, AccountVerifier]
    ) -> dict[str, AccountLookup | None]:
        lookups: dict[str, AccountLookup | None] = {}
        if accounts is not None:
            own = self.verifiers or {}
            # Accounts of the app's own verifiers are not in [accounts].
            lookups = {
                label: accounts.lookup(label)
                for label in self.client_types or CLIENT_TYPES
                if label not in own
            }
        for label in self.lookups or {}:
            if label not in verifiers:
                place = self.place.member("lookups").member(label)
                raise place.error("is for a client type that cannot log in: leave it out")
        return lookups | self._by_name("lookups")

    def _by_name(self, setting_name: str) -> dict[str, Any]:
        """Import the callables in a table of client types and names."""
        found: dict[str, Any] = {}
        for label, name in (getattr(self, setting_name) or {}).items():
            place = self.place.member(setting_name).member(label)
            is_none = (setting_name, name) == ("lookups", "none")
            found[label] = None if is_none else find(f"{place.file}: {place.name}:", name)
        return found
