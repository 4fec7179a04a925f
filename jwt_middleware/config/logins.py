"""``[endpoint]``: where and for whom tokens are issued."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ..accounts import AccountLookup, AccountVerifier, ClientType
from ..core.issuer import DEFAULT_LIFETIME_SECONDS, DEFAULT_NBF_EARLY_SECONDS, TokenIssuer
from ..core.verifier import TokenVerifier
from ..endpoint.app import DEFAULT_MAX_BODY_BYTES, TokenEndpoint
from ..sessions import Sessions
from ..sessions.session import DEFAULT_REFRESH_LIFETIME_SECONDS
from ..wsgi.responses import Responses
from .callables import find
from .reading import (
    Place,
    Section,
    setting,
    text,
    text_members,
    text_or_texts,
    texts,
    whole,
    whole_members,
)
from .sessions import LoginSettings

if TYPE_CHECKING:
    from ..accounts.sql import SQLAccounts

logger: logging.Logger = logging.getLogger(__name__)

CLIENT_TYPES: Final = tuple(member.label for member in ClientType)


def _lifetimes(value: object, place: Place) -> dict[str, dict[str, int]]:
    if not isinstance(value, dict):
        raise place.error("must be a table of client types")
    return {label: whole_members(one, place.member(label)) for label, one in value.items()}


class EndpointSettings(Section):
    """
    ``[endpoint]``: mounts the token endpoint; needs ``[accounts]`` or ``verifiers``.

    Client types are names for kinds of account: ``email``, ``mobile``, ``username``, ``service``,
    or names of your own.

    Attributes:
        path: Where logins are posted to; answered with a slash at its end and without.
        lifetime_seconds: Of an access token.
        refresh_lifetime_seconds: Of a refresh token, from each use on; needs ``[sessions]``.
        client_types: The client types of ``[accounts]`` that may log in.
        verifiers: Client type to an account verifier of your own,
            ``{ ldap = "myapp.users:verify" }``.
        lookups: Client type to the function that finds such an account by its ``uid`` at each
            refresh, ``{ ldap = "myapp.users:lookup" }``; ``"none"`` accepts it as it was.
        subjects: Client type to what ``sub`` is, ``{ ldap = "ldap:{uid}" }``; needed where accounts
            come from several sources.  By default ``"{uid}"``.
        lifetimes: Client type to lifetimes of its own,
            ``{ service = { lifetime_seconds = 600, refresh_lifetime_seconds = 86400 } }``.
        forms: Client type to a subclass of ``ClientForm``, ``{ ldap = "myapp.forms:LDAPForm" }``.
        codes: Client type of your own to the number that a form may send for it,
            ``{ ldap = 300 }``.
        client_id: ``client_id`` of tokens for logins that send none; without one, the ``typ`` of
            their tokens is ``JWT``.
        audience: ``aud`` of every token that is issued; by default the first ``audience`` of the
            file.
        nbf_early_seconds: How long before its issue a token is good, for verifiers whose clock is
            behind, up to 60.
        max_body_bytes: A longer body of a request is answered 413.
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
        *,
        issuer: TokenIssuer,
        accounts: SQLAccounts | None,
        responses: Responses,
        resources: Mapping[str, str],
        prefix: str,
    ) -> TokenEndpoint:
        """
        Make an endpoint without sessions.

        Raises:
            ConfigurationError: A setting is unusable, or of sessions.
        """
        for name in ("refresh_lifetime_seconds", "lookups"):
            if getattr(self, name) is not None:
                raise self.place.member(name).error(
                    "is of sessions: add a [sessions] table, or leave it out"
                )
        logger.warning(
            "%s: logins are not limited: add a [sessions] table, whose store counts them",
            self.place.file,
        )
        options = self._options(accounts)
        with self.place.named_by_member():
            return TokenEndpoint(
                issuer=issuer,
                responses=responses,
                trusted_proxies=responses.trusted_proxies,
                resources=resources,
                prefix=prefix,
                **options,
            )

    def build_with_sessions(
        self,
        sessions: Sessions,
        *,
        verifier: TokenVerifier,
        accounts: SQLAccounts | None,
        login: LoginSettings,
        responses: Responses,
        resources: Mapping[str, str],
        prefix: str,
    ) -> TokenEndpoint:
        """
        Make an endpoint whose tokens can be refreshed and revoked.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        options, throttle = self._options(accounts), login.build(sessions.store)
        lookups = {**self._lookups_of(accounts), **self._by_name("lookups")}
        for label in self.lookups or {}:
            if label not in options["verifiers"]:
                place = self.place.member("lookups").member(label)
                raise place.error("is of a client type that cannot log in: leave it out")
        with self.place.named_by_member():
            return TokenEndpoint(
                issuer=sessions.issuer,
                responses=responses,
                sessions=sessions,
                verifier=verifier,
                lookups=lookups,
                throttle=throttle,
                trusted_proxies=responses.trusted_proxies,
                resources=resources,
                prefix=prefix,
                **options,
            )

    def _options(self, accounts: SQLAccounts | None) -> dict[str, Any]:
        """Return what an endpoint has with and without sessions."""
        return {
            "verifiers": self._all_verifiers(accounts),
            "path": self.path,
            "max_body_bytes": self.max_body_bytes,
            "subjects": self.subjects,
            "lifetimes": self.lifetimes or {},
            "forms": self._by_name("forms"),
            "codes": self.codes or {},
        }

    def _all_verifiers(self, accounts: SQLAccounts | None) -> dict[str, AccountVerifier]:
        return self._verifiers_of(accounts) | self._by_name("verifiers")

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

    def _lookups_of(self, accounts: SQLAccounts | None) -> dict[str, AccountLookup]:
        if accounts is None:
            return {}
        types, own = self.client_types or CLIENT_TYPES, self.verifiers or {}
        # An account that a verifier of the app's own logs in is not in [accounts].
        return {label: accounts.lookup(label) for label in types if label not in own}

    def _by_name(self, setting_name: str) -> dict[str, Any]:
        place = self.place.member(setting_name)
        return {
            label: None
            if (setting_name, name) == ("lookups", "none")
            else find(f"{place.file}: {place.member(label).name}:", name)
            for label, name in (getattr(self, setting_name) or {}).items()
        }
