"""Logins: limits, account verifiers, subjects; and lookups, which recheck an account later."""

from __future__ import annotations

import hmac
import logging
import secrets
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..accounts import AccountLookup, AccountVerifier, Identity
from ..core.payload import JWTPayload
from ..errors import (
    BadCredentialsError,
    InvalidGrantError,
    TooManyAttemptsError,
    UnavailableError,
)
from ..events import Name, emit
from ..fork import PerProcess
from ..sessions import Session
from ..sessions.session import SERVICE
from ..wsgi.address import shown_client
from .limits import ClientAddresses, LoginThrottle
from .subjects import Subjects

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger: logging.Logger = logging.getLogger("jwt_middleware")


LIFETIMES: Final = ("lifetime_seconds", "refresh_lifetime_seconds")


class Credentials(NamedTuple):
    """
    An account and the proof that a client has it.

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
    Verifies credentials, and rechecks the accounts of sessions.

    Args:
        issuer: Whose accounts they are: limits count them apart from those of other issuers.
        verifiers: Client type to account verifier.
        lookups: Client type to account lookup; ``None`` for one that is not rechecked.
        subjects: Makes the claim *sub* of a *uid*.
        throttle: Limits the attempts; ``None`` does not.
        addresses: Tells where a request comes from.
        lifetimes: Client type to lifetimes of its tokens, by the names in :data:`LIFETIMES`.
    """

    def __init__(
        self,
        *,
        issuer: str,
        verifiers: Mapping[str, AccountVerifier],
        lookups: Mapping[str, AccountLookup | None],
        subjects: Subjects,
        throttle: LoginThrottle | None,
        addresses: ClientAddresses,
        lifetimes: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    ) -> None:
        self._lifetimes = lifetimes
        self.verifiers = verifiers
        self.addresses = addresses
        self._issuer = issuer
        self._lookups = lookups
        self._subjects = subjects
        self._throttle = throttle
        self._proved = ProvedSecrets()
        self._warned: set[str] = set()

    def verify(
        self,
        client_type: str,
        readings: Sequence[Credentials],
        environ: WSGIEnvironment,
        further: Mapping[str, Any] = MappingProxyType({}),
    ) -> Identity:
        """
        Return the identity of the account that these credentials are of.

        Args:
            client_type: One of the verifiers'.
            readings: The credentials; several where they can be read in several ways.  The first
                that are good count.
            environ: The request, for the client's address.
            further: What else the form of the client type holds, validated: the verifier gets it
                by name.

        Raises:
            BadCredentialsError: They are not good, in no reading.
            TooManyAttemptsError: A secret was not compared.
            UnavailableError: The accounts or the store of the attempts are unavailable.
        """
        client = shown_client(environ, self.addresses.trusted_proxies)
        try:
            identity = self._verify(client_type, readings, environ, further)
        except TooManyAttemptsError:
            emit(Name.LOGIN_LIMITED, client_type=client_type, client=client)
            raise
        except BadCredentialsError:
            emit(Name.LOGIN_FAILED, client_type=client_type, client=client)
            raise
        sub = str(identity.uid)
        emit(Name.LOGIN_SUCCEEDED, client_type=client_type, client=client, sub=sub)
        return identity

    def payload(self, identity: Identity, client_type: str, **members: Any) -> JWTPayload:
        """
        Return what a token of *identity* says.

        Args:
            identity: From :meth:`verify`.
            client_type: It logged in by.
            **members: Further ones of :class:`JWTPayload`; a *scope* replaces the identity's.

        Raises:
            UnavailableError: Its subject would be that of an account of another client type.
        """
        subject = self._subjects.subject(client_type, identity.uid)
        granted = self._granted(identity, client_type) | members
        return JWTPayload(identity.uid, ac_type=client_type, subject=subject, **granted)

    def recheck(self, session: Session) -> JWTPayload:
        """
        Return what a session's account may do now.

        Raises:
            InvalidGrantError: It may not log in any more, or it has another secret.
            UnavailableError: The accounts are unavailable.
        """
        payload = session.payload
        if payload.ac_type not in self.verifiers:
            raise InvalidGrantError("the session is of a client type that may not log in any more")
        if self._lookups.get(payload.ac_type) is None:
            return payload  # lifetimes and all, as at the login
        identity = self._look_up(payload.ac_type, payload.uid)
        if identity is None:
            raise InvalidGrantError("the session's account is unknown or disabled")
        if identity.credential != session.credential:
            raise InvalidGrantError("the secret of the session's account has changed")
        return replace(payload, **self._granted(identity, payload.ac_type))

    def _granted(self, identity: Identity, client_type: str) -> dict[str, Any]:
        """Return the members of a payload that its account says anew with each token."""
        usual = self._lifetimes.get(client_type, {})
        members: dict[str, Any] = {
            name: getattr(identity, name) or usual.get(name) for name in LIFETIMES
        }
        return members | {"auth": identity.auth, "scope": identity.scope, "claims": identity.claims}

    def _verify(
        self,
        client_type: str,
        readings: Sequence[Credentials],
        environ: WSGIEnvironment,
        further: Mapping[str, Any],
    ) -> Identity:
        refused: BadCredentialsError | TooManyAttemptsError | None = None
        for account in dict.fromkeys(one.account for one in readings):
            proofs = [one.secret for one in readings if one.account == account]
            try:
                return self._verify_account(client_type, account, proofs, environ, further)
            except TooManyAttemptsError as error:
                refused = error
            except BadCredentialsError as error:
                if not isinstance(refused, TooManyAttemptsError):
                    refused = error
        raise refused or BadCredentialsError

    def _verify_account(
        self,
        client_type: str,
        account: str,
        proofs: Sequence[str],
        environ: WSGIEnvironment,
        further: Mapping[str, Any],
    ) -> Identity:
        throttle = self._throttle
        if throttle is None:
            return self._compare(client_type, account, proofs, further)
        counted = throttle.attempt(
            client_type,
            account,
            issuer=self._issuer,
            address=self.addresses(environ),
            secrets=len(proofs),
        )
        try:
            identity = self._compare(client_type, account, proofs, further)
        except BadCredentialsError:
            throttle.fail(counted)
            raise
        throttle.succeed(counted)
        return identity

    def _compare(
        self, client_type: str, account: str, proofs: Sequence[str], further: Mapping[str, Any]
    ) -> Identity:
        """Return the identity that one of the secrets proves.  The attempt has been counted."""
        refused: BadCredentialsError | None = None
        for secret in proofs:
            try:
                return self._prove(client_type, account, secret, further)
            except BadCredentialsError as error:  # it may be the application's own class
                refused = error
        raise refused or BadCredentialsError

    def _prove(
        self, client_type: str, account: str, secret: str, further: Mapping[str, Any]
    ) -> Identity:
        # Only services send their secret again and again, with each introspection.
        is_service = client_type == SERVICE and self._lookups.get(client_type) is not None
        if is_service and (uid := self._proved.uid(client_type, account)) is not None:
            identity = self._look_up(client_type, uid)
            if identity and self._proved.holds(client_type, account, secret, identity):
                return identity
        identity = self._ask(
            lambda: self.verifiers[client_type](account, secret, **further),
            f"verifier of {client_type}",
            hidden=secret,
        )
        if identity is None:
            raise BadCredentialsError
        self._warn_of_missing_credential(client_type, identity)
        if is_service:
            self._proved.remember(client_type, account, secret, identity)
        return identity

    def _look_up(self, client_type: str, uid: int | str) -> Identity | None:
        look_up = self._lookups.get(client_type)
        if look_up is None:
            return None
        return self._ask(lambda: look_up(uid), f"lookup of {client_type}")

    def _ask(
        self, question: Callable[[], object], asked: str, *, hidden: str = ""
    ) -> Identity | None:
        """
        Return the identity that an application's own code returns; any failure of it is a 503.

        Raises:
            BadCredentialsError: As it says.
            UnavailableError: It says so, raises anything else, or returns no identity.
        """
        try:
            found = question()
            return None if found is None else Identity.of(found)
        except (BadCredentialsError, TooManyAttemptsError, UnavailableError):
            raise
        except Exception:  # noqa: BLE001  whatever an application's code raises
            text = traceback.format_exc()
        # Outside the handler: the error may quote the secret, and would be chained to this one.
        for quoted in {hidden, repr(hidden)[1:-1]} - {""}:
            text = text.replace(quoted, "…")
        logger.error("the account %s failed\n%s", asked, text)
        raise UnavailableError(f"the account {asked} failed")

    def _warn_of_missing_credential(self, client_type: str, identity: Identity) -> None:
        can_tell = self._lookups.get(client_type) is not None and not identity.credential
        if can_tell and client_type not in self._warned:
            self._warned.add(client_type)
            logger.warning(
                "accounts of the type %s have no credential: their sessions go on after a change of"
                " secret; let verifier and lookup return one that changes with it",
                client_type,
            )


MAX_PROVED: Final = 1_000
PROVED_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class _Proof:
    uid: int | str
    digest: bytes
    until: float


class ProvedSecrets:
    """
    Secrets proved within five minutes: an HMAC of each, under a key that the process has drawn.

    It is over the stored credential too: a changed secret is not taken for the proved one.  Without
    an attempt counted before, it would be a quick oracle for guesses.

    Args:
        monotonic: Returns seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._key = PerProcess(lambda: secrets.token_bytes(32))
        self._proofs: dict[tuple[str, str], _Proof] = {}

    def uid(self, client_type: str, account: str) -> int | str | None:
        """Return the uid of an account whose secret has been proved lately."""
        proof = self._proofs.get((client_type, account))
        if proof is None or self._monotonic() >= proof.until:
            return None
        return proof.uid

    def holds(self, client_type: str, account: str, secret: str, identity: Identity) -> bool:
        """Tell whether this is the secret that was proved, and the account is what it was."""
        proof = self._proofs.get((client_type, account))
        if proof is None or proof.uid != identity.uid:
            return False
        digest = self._digest(client_type, account, secret, identity)
        return hmac.compare_digest(proof.digest, digest)

    def remember(self, client_type: str, account: str, secret: str, identity: Identity) -> None:
        """Remember a proved secret; without a credential a change could not be told."""
        if not identity.credential:
            return
        if len(self._proofs) >= MAX_PROVED:
            self._proofs.clear()
        digest = self._digest(client_type, account, secret, identity)
        until = self._monotonic() + PROVED_SECONDS
        self._proofs[client_type, account] = _Proof(identity.uid, digest, until)

    def _digest(self, client_type: str, account: str, secret: str, identity: Identity) -> bytes:
        parts = (client_type, account, secret, identity.credential)
        # Each with its length, so that no two lists of parts read alike.
        octets = [one.encode("utf-8", "surrogatepass") for one in parts]
        message = b"".join(len(one).to_bytes(8, "big") + one for one in octets)
        return hmac.digest(self._key.get(), message, "sha256")
