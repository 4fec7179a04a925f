"""Sessions: recorded before their tokens leave the building, and ended for good."""

from __future__ import annotations

import hmac
import itertools
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from ..core.issuer import IssuedToken, TokenIssuer
from ..core.payload import JWTPayload
from ..core.scope import narrow
from ..errors import InvalidGrantError, InvalidScopeError, UnavailableError
from .refresh_token import SALT_BYTES, RefreshToken
from .revocation.follower import DEFAULT_MAX_DELAY_SECONDS, Revocations
from .revocation.live import token_revocation
from .session import (
    DEFAULT_GRACE_SECONDS,
    DEFAULT_MAX_LIFETIME_SECONDS,
    DEFAULT_REFRESH_LIFETIME_SECONDS,
    Grant,
    Lifetimes,
    Session,
)
from .store import Outcome, Rotation, SessionStore

logger = logging.getLogger(__name__)

_PRUNE_EVERY: Final = 50
_PRUNED_AT_ONCE: Final = 200


class Sessions:
    """
    Starts, refreshes and ends sessions.

    An access token never outlives its session, so that ending a session ends all that it holds.

    Args:
        store: Where sessions and revocations are kept.
        issuer: Issues the access tokens.
        refresh_lifetime_seconds: How long a refresh token is good for, and with it the session: at
            least as long as an access token.
        max_lifetime_seconds: How long a session lasts, however often it is refreshed.
        grace_seconds: How long after its use a refresh token still yields its successor, as long
            as that was not used: for two requests of one client that cross, and an answer that was
            lost.  0 to 300; with 0 a second use is a replay at once.
        max_delay_seconds: As for :class:`Revocations`.
        clock: Returns seconds since the Unix epoch.

    Attributes:
        revocations: What to give to a verifier as its *is_revoked*.

    Raises:
        ConfigurationError: A part is unusable.
    """

    def __init__(
        self,
        *,
        store: SessionStore,
        issuer: TokenIssuer,
        refresh_lifetime_seconds: int = DEFAULT_REFRESH_LIFETIME_SECONDS,
        max_lifetime_seconds: int = DEFAULT_MAX_LIFETIME_SECONDS,
        grace_seconds: float = DEFAULT_GRACE_SECONDS,
        max_delay_seconds: float = DEFAULT_MAX_DELAY_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lifetimes = Lifetimes(
            token_lifetime_seconds=issuer.lifetime_seconds,
            refresh_lifetime_seconds=refresh_lifetime_seconds,
            max_lifetime_seconds=max_lifetime_seconds,
            grace_seconds=grace_seconds,
        )
        self.store = store
        self.issuer = issuer
        self.revocations = Revocations(
            store, issuer=issuer.issuer, max_delay_seconds=max_delay_seconds, clock=clock
        )
        self._clock = clock
        self._uses = itertools.count(1)

    def start(
        self, payload: JWTPayload, *, credential: str = "", recheck: Recheck | None = None
    ) -> Grant:
        """
        Start a session that can be refreshed.

        Args:
            payload: Whom its access tokens are for, and the most they may allow.
            credential: As for :class:`Session`.
            recheck: Asked once the session is recorded: a login that crosses with whatever ends
                the sessions of its account is either seen by that, or ended here.

        Raises:
            InvalidGrantError: The account may not log in any more; the session has been ended.
            UnavailableError: It cannot be recorded, or no token can be signed.
        """
        token = self._new_token()
        issued = self._start(token.sid, payload, credential, recheck, token_hash=token.digest)
        return Grant(issued, payload.scope, token.reveal())

    def start_unrefreshable(
        self, payload: JWTPayload, *, credential: str = "", recheck: Recheck | None = None
    ) -> Grant:
        """
        Start a session of one access token, for a client that can log in again by itself.

        Args:
            payload: As for :meth:`start`.
            credential: As for :class:`Session`.
            recheck: As for :meth:`start`.

        Raises:
            InvalidGrantError: As for :meth:`start`.
            UnavailableError: As for :meth:`start`.
        """
        sid = self._new_token().sid
        issued = self._start(sid, payload, credential, recheck, token_hash=None)
        return Grant(issued, payload.scope)

    def refresh(
        self, text: str, *, scope: str | None = None, recheck: Recheck | None = None
    ) -> Grant:
        """
        Use a refresh token: get an access token and the next refresh token for it.

        Whatever can fail does so before the token is used up.

        Args:
            text: The refresh token.
            scope: What the access token shall allow, at most what the session does; ``None`` for
                all of that (RFC 6749 §6).
            recheck: Asked what the session's account may still do; without it, what it could.

        Raises:
            InvalidGrantError: The token is not good.  If it was used before, or its account may not
                log in any more, its session has been ended.
            InvalidScopeError: *scope* is malformed, or more than the session may have.
            UnavailableError: The store or *recheck* cannot be asked, or no token can be signed.
        """
        now, token = self._clock(), self._parse(text)
        session = self.store.find(token.sid)
        if session is None or now >= session.expires_at:
            raise InvalidGrantError("the session is not known, or has ended")
        payload = self._checked(session, recheck)
        try:
            payload = replace(payload, scope=narrow(scope, to=payload.scope))
        except InvalidScopeError:
            if session.token_hash != token.digest:  # a replay, whatever it asks for, is one
                self._use(token, session, now=now)
            raise
        session = replace(session, payload=payload)  # whose lifetimes may have changed as well
        issued = self._issue(payload, token.sid, now=now, expires_at=self._expiry(session, now=now))
        salt = self._use(token, session, now=now)
        return Grant(issued, payload.scope, token.successor(salt).reveal())

    def find(self, text: str) -> Session | None:
        """
        Return the session in which this refresh token is the one in force; using nothing up.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        try:
            token = self._parse(text)
        except InvalidGrantError:
            return None
        session = self.store.find(token.sid)
        if session is None or session.token_hash is None or self._clock() >= session.expires_at:
            return None
        return session if hmac.compare_digest(session.token_hash, token.digest) else None

    def end(self, sid: str) -> bool:
        """
        End a session: its refresh token and all its access tokens.

        Returns:
            Whether it was there.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        found = self.store.end(sid, now=self._clock())
        # Not for one that nobody knows: anybody can send such a token, and who waits is everybody.
        if found:
            self.revocations.expect_change()
        self._prune_at_times()
        return found

    def end_by_refresh_token(self, text: str) -> bool:
        """
        End the session of a refresh token, the one in force or any before it.

        Returns:
            Whether there was one.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        try:
            sid = self._parse(text).sid
        except InvalidGrantError:
            return False
        return self.end(sid)

    def end_all(self, subject: str) -> int:
        """
        End every session of a subject, and whatever other token it got before now.

        Tokens that belong to no session, as ``jwt-middleware token issue`` makes them, are told
        from later ones by *iat*, in whole seconds: those of this very second are ended as well.

        Returns:
            How many sessions there were.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        now = self._clock()
        ended = self.store.end_all(
            subject, now=now, expires_at=now + self.lifetimes.max_lifetime_seconds
        )
        self.revocations.expect_change()
        return ended

    def revoke_token(self, claims: Mapping[str, object]) -> None:
        """
        Revoke one access token, and nothing else of its session.

        Args:
            claims: Its verified claims, or as many as are known: *iss*, *jti* and *exp*.

        Raises:
            ConfigurationError: It has no *jti*: nothing could tell it from others.
            UnavailableError: The store cannot be asked.
        """
        self.store.revoke(token_revocation(claims, issuer=self.issuer.issuer, now=self._clock()))
        self.revocations.expect_change()
        self._prune_at_times()

    def prune(self, *, limit: int = _PRUNED_AT_ONCE) -> int:
        """
        Remove some of what has expired.

        Returns:
            How many entries were removed.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        return self.store.prune(now=self._clock(), limit=limit)

    def _use(self, token: RefreshToken, session: Session, *, now: float) -> bytes:
        """Use a refresh token up, and return the salt of its successor; or raise."""
        expires_at, salt = self._expiry(session, now=now), secrets.token_bytes(SALT_BYTES)
        lifetimes = self.lifetimes.of(session.payload)
        outcome, salt = self.store.rotate(
            Rotation(
                sid=token.sid,
                presented=token.digest,
                successor=token.successor(salt).digest,
                salt=salt,
                now=now,
                grace_seconds=self.lifetimes.grace_seconds,
                expires_at=expires_at,
                tokens_until=lifetimes.tokens_until(now=now, expires_at=expires_at),
            )
        )
        self._prune_at_times()
        if outcome is Outcome.REPLAYED:
            self.revocations.expect_change()
            logger.warning(
                "refresh token replayed: session %s of subject %.80a was ended: whoever used it"
                " before or now may have stolen it",
                session.sid,
                session.subject,
            )
        if outcome in {Outcome.REPLAYED, Outcome.GONE}:
            raise InvalidGrantError(f"the refresh token is {outcome.value}")
        return salt

    def _expiry(self, session: Session, *, now: float) -> float:
        lifetimes = self.lifetimes.of(session.payload)
        return min(now + lifetimes.refresh_lifetime_seconds, session.ends_at)

    def _checked(self, session: Session, recheck: Recheck | None) -> JWTPayload:
        try:
            return current_payload(session, recheck)
        except InvalidGrantError:
            self.end(session.sid)
            raise

    def _start(
        self,
        sid: str,
        payload: JWTPayload,
        credential: str,
        recheck: Recheck | None,
        *,
        token_hash: bytes | None,
    ) -> IssuedToken:
        now = self._clock()
        session = Session.begin(
            sid,
            payload,
            credential=credential,
            token_hash=token_hash,
            now=now,
            lifetimes=self.lifetimes,
        )
        issued = self._issue(payload, sid, now=now, expires_at=session.expires_at)
        self.store.add(session)
        self._checked(session, recheck)
        self._prune_at_times()
        return issued

    def _new_token(self) -> RefreshToken:
        return RefreshToken.generate(issuer=self.issuer.issuer)

    def _parse(self, text: str) -> RefreshToken:
        return RefreshToken.parse(text, issuer=self.issuer.issuer)

    def _issue(
        self, payload: JWTPayload, sid: str, *, now: float, expires_at: float
    ) -> IssuedToken:
        lifetimes = self.lifetimes.of(payload)
        lifetime_seconds = lifetimes.token_seconds(now=now, expires_at=expires_at)
        return self.issuer.issue(payload, lifetime_seconds=lifetime_seconds, session_id=sid)

    def _prune_at_times(self) -> None:
        # Often enough to keep up with what is written, in steps that nobody notices.
        if next(self._uses) % _PRUNE_EVERY:
            return
        try:
            self.prune()
        except UnavailableError as error:
            logger.warning("expired sessions were not pruned: %s", error)


class Recheck(Protocol):
    """Says what a session's account may still do, when it asks for another access token."""

    def __call__(self, session: Session, /) -> JWTPayload:
        """
        Return the payload of the next access token.

        Raises:
            InvalidGrantError: The account may not log in any more, or its secret has changed.
            UnavailableError: Whoever knows cannot be asked.
        """
        ...


def current_payload(session: Session, recheck: Recheck | None) -> JWTPayload:
    """
    Return what *recheck* says, with no scope that the session was not started with.

    Raises:
        InvalidGrantError: As for :class:`Recheck`.
        UnavailableError: As for :class:`Recheck`.
    """
    if recheck is None:
        return session.payload
    payload = recheck(session)
    granted = set(session.payload.scope.split(" "))
    still = " ".join(one for one in payload.scope.split(" ") if one in granted)
    return replace(payload, scope=still)
