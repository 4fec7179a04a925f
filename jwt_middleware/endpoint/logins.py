"""Logins: limits, account verifiers, subjects; and lookups, which recheck an account later."""

from __future__ import annotations

import hmac
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
from ..events import Name, emit, logger
from ..fork import PerProcess
from ..sessions import Session
from ..sessions.session import SERVICE
from ..wsgi.address import shown_client
from .limits import ClientAddresses, LoginThrottle
from .subjects import Subjects

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


LIFETIMES: Final = ("lifetime_seconds", "refresh_lifetime_seconds")


class Credentials(NamedTuple):
    """
    An account name and its secret, as a client sent them.

    Attributes:
        account: The account's name.
        secret: The secret.
    """

    account: str
    secret: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Logins:
    """
    Verifies credentials, and rechecks the accounts of sessions.

    Args:
        issuer: The accounts' issuer; limits count each issuer's accounts separately.
        verifiers: Client type to account verifier.
        lookups: Client type to account lookup; ``None`` for one that is not rechecked.
        subjects: Makes the claim *sub* from a *uid*.
        throttle: Limits attempts; ``None`` sets no limits.
        addresses: Returns the client address of a request.
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
        Verify credentials and return the account's identity.

        Args:
            client_type: A key of *verifiers*.
            readings: The credentials; several where they are ambiguous.  The first valid reading
                wins.
            environ: The request, for the client's address.
            further: Validated values of the client type's additional form fields, passed to the
                verifier by name.

        Raises:
            BadCredentialsError: No reading is valid.
            TooManyAttemptsError: A limit is reached; no secret was compared.
            UnavailableError: The accounts or the attempt store are unavailable.
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
        Return the payload of a token for *identity*.

        Args:
            identity: From :meth:`verify`.
            client_type: The client type of the login.
            **members: Other members of :class:`JWTPayload`; a *scope* replaces the identity's.

        Raises:
            UnavailableError: The subject could be that of another client type's account.
        """
        subject = self._subjects.subject(client_type, identity.uid)
        granted = self._granted(identity, client_type) | members
        return JWTPayload(identity.uid, ac_type=client_type, subject=subject, **granted)

    def recheck(self, session: Session) -> JWTPayload:
        """
        Look up a session's account and return its current payload.

        Raises:
            InvalidGrantError: The account is unknown or disabled, or its secret has changed.
            UnavailableError: The accounts are unavailable.
        """
        payload = session.payload
        if payload.ac_type not in self.verifiers:
            raise InvalidGrantError("the session's client type can no longer log in")
        if self._lookups.get(payload.ac_type) is None:
            return payload  # including lifetimes, as at login
        identity = self._look_up(payload.ac_type, payload.uid)
        if identity is None:
            raise InvalidGrantError("the session's account is unknown or disabled")
        if identity.credential != session.credential:
            raise InvalidGrantError("the secret of the session's account has changed")
        return replace(payload, **self._granted(identity, payload.ac_type))

    def _granted(self, identity: Identity, client_type: str) -> dict[str, Any]:
        """Return the payload members that come from the account with each token."""
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
        """Return the identity for the first correct secret.  The attempt is already counted."""
        refused: BadCredentialsError | None = None
        for secret in proofs:
            try:
                return self._prove(client_type, account, secret, further)
            except BadCredentialsError as error:  # may be an application's subclass
                refused = error
        raise refused or BadCredentialsError

    def _prove(
        self, client_type: str, account: str, secret: str, further: Mapping[str, Any]
    ) -> Identity:
        # Only services send their secret repeatedly, with each introspection.
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
        Call the application's verifier or lookup; any failure of it is a 503.

        Raises:
            BadCredentialsError: The callable raises it.
            UnavailableError: The callable raises it or any other error, or returns no identity.
        """
        try:
            found = question()
            return None if found is None else Identity.of(found)
        except (BadCredentialsError, TooManyAttemptsError, UnavailableError):
            raise
        except Exception:  # noqa: BLE001  an application may raise anything
            text = traceback.format_exc()
        # Raised outside the handler: the chained error may quote the secret.
        for quoted in {hidden, repr(hidden)[1:-1]} - {""}:
            text = text.replace(quoted, "…")
        logger.error("the account %s failed\n%s", asked, text)
        raise UnavailableError(f"the account {asked} failed")

    def _warn_of_missing_credential(self, client_type: str, identity: Identity) -> None:
        can_tell = self._lookups.get(client_type) is not None and not identity.credential
        if can_tell and client_type not in self._warned:
            self._warned.add(client_type)
            logger.warning(
                "accounts of the type %s have no credential: their sessions survive a change of"
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
    Cache of recently verified secrets: an HMAC of each, for five minutes, under a per-process key.

    The HMAC includes the stored credential, so that a changed secret is not accepted.  Count an
    attempt before asking: otherwise this is a fast oracle for guesses.

    Args:
        monotonic: Returns seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._key = PerProcess(lambda: secrets.token_bytes(32))
        self._proofs: dict[tuple[str, str], _Proof] = {}

    def uid(self, client_type: str, account: str) -> int | str | None:
        """Return the uid of an account with a recently verified secret."""
        proof = self._proofs.get((client_type, account))
        if proof is None or self._monotonic() >= proof.until:
            return None
        return proof.uid

    def holds(self, client_type: str, account: str, secret: str, identity: Identity) -> bool:
        """Return whether this secret was verified and the account is unchanged."""
        proof = self._proofs.get((client_type, account))
        if proof is None or proof.uid != identity.uid:
            return False
        digest = self._digest(client_type, account, secret, identity)
        return hmac.compare_digest(proof.digest, digest)

    def remember(self, client_type: str, account: str, secret: str, identity: Identity) -> None:
        """Cache a verified secret, unless the identity has no credential to detect a change by."""
        if not identity.credential:
            return
        if len(self._proofs) >= MAX_PROVED:
            self._proofs.clear()
        digest = self._digest(client_type, account, secret, identity)
        until = self._monotonic() + PROVED_SECONDS
        self._proofs[client_type, account] = _Proof(identity.uid, digest, until)

    def _digest(self, client_type: str, account: str, secret: str, identity: Identity) -> bytes:
        parts = (client_type, account, secret, identity.credential)
        # Length-prefixed, so that the encoding of the parts is unambiguous.
        octets = [one.encode("utf-8", "surrogatepass") for one in parts]
        message = b"".join(len(one).to_bytes(8, "big") + one for one in octets)
        return hmac.digest(self._key.get(), message, "sha256")
