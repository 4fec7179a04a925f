"""Who may log in: one way to ask, whatever the credentials came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..accounts import AccountLookup, AccountVerifier, Identity
from ..core.payload import JWTPayload
from ..errors import BadCredentialsError, InvalidGrantError
from ..sessions import Session
from .limits import ClientAddresses, LoginThrottle

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


LIFETIMES: Final = ("lifetime_seconds", "refresh_lifetime_seconds")


class Credentials(NamedTuple):
    """
    An account's name, and the proof; left out of the ``repr``.

    Attributes:
        account: The account's name, as it was sent.
        secret: Its secret.
    """

    account: str
    secret: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Logins:
    """
    Asks who somebody is, and later whether he still is.

    Args:
        verifiers: Client type to account verifier.
        lookups: Client type to account lookup; those of a type without one are not asked again.
        throttle: Limits the attempts; ``None`` does not.
        addresses: Tells where a request comes from.
        lifetimes: Client type to lifetimes of its tokens, by the names in :data:`LIFETIMES`.
    """

    def __init__(
        self,
        *,
        verifiers: Mapping[str, AccountVerifier],
        lookups: Mapping[str, AccountLookup],
        throttle: LoginThrottle | None,
        addresses: ClientAddresses,
        lifetimes: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    ) -> None:
        self._lifetimes = lifetimes
        self.verifiers = verifiers
        self._lookups = lookups
        self._throttle = throttle
        self._addresses = addresses

    def verify(
        self,
        client_type: str,
        readings: Sequence[Credentials],
        environ: WSGIEnvironment,
        further: Mapping[str, Any] = MappingProxyType({}),
    ) -> Identity:
        """
        Return whose credentials these are.

        Args:
            client_type: One of the verifiers'.
            readings: The credentials; several where they can be read in several ways.  The first
                that are good count, and all together are one attempt.
            environ: The request, for the client's address.
            further: What else the form of the client type holds, validated: the verifier gets it
                by name.

        Raises:
            BadCredentialsError: They are nobody's, in no reading.
            TooManyAttemptsError: No secret was looked at.
            UnavailableError: The accounts or the store of the attempts cannot be asked.
        """
        verify = self.verifiers[client_type]
        attempt = None
        if self._throttle is not None:
            names = {one.account for one in readings}
            attempt = self._throttle.attempt(client_type, names, address=self._addresses(environ))
        for account, secret in readings:
            try:
                identity = Identity.of(verify(account, secret, **further))
            except BadCredentialsError:
                continue
            if self._throttle is not None and attempt is not None:
                self._throttle.succeed(attempt, account)
            return identity
        raise BadCredentialsError

    def recheck(self, session: Session) -> JWTPayload:
        """
        Return what a session's account may do now.

        Raises:
            InvalidGrantError: It may not log in any more, or it has another secret.
            UnavailableError: The accounts cannot be asked.
        """
        payload = session.payload
        if payload.ac_type not in self.verifiers:
            raise InvalidGrantError("the session is of a client type that may not log in any more")
        look_up = self._lookups.get(payload.ac_type)
        if look_up is None:
            return payload  # lifetimes and all, as at the login
        found = look_up(payload.uid)
        if found is None:
            raise InvalidGrantError("the session's account is unknown or disabled")
        identity = Identity.of(found)
        if identity.credential != session.credential:
            raise InvalidGrantError("the secret of the session's account has changed")
        return self._updated(payload, identity)

    def payload(self, identity: Identity, client_type: str, **members: Any) -> JWTPayload:
        """
        Return what a token of *identity* says.

        Args:
            identity: From :meth:`verify`.
            client_type: It logged in by.
            **members: Further ones of :class:`JWTPayload`; a *scope* replaces the identity's.
        """
        payload = self._updated(JWTPayload(identity.uid, ac_type=client_type), identity)
        return replace(payload, **members)

    def _updated(self, payload: JWTPayload, identity: Identity) -> JWTPayload:
        usual = self._lifetimes.get(payload.ac_type, {})
        members: dict[str, Any] = {
            name: getattr(identity, name) or usual.get(name) for name in LIFETIMES
        }
        members |= {"auth": identity.auth, "scope": identity.scope, "claims": identity.claims}
        return replace(payload, **members)
