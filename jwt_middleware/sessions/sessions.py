"""Sessions: stored before their tokens are returned, and ended for good."""

from __future__ import annotations

import hmac
import math
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from ..bounds import check_whole
from ..core.issuer import IssuedToken, TokenIssuer
from ..core.payload import JWTPayload
from ..core.scope import common, narrow
from ..core.trust import MAX_LEEWAY_SECONDS
from ..errors import InvalidGrantError, InvalidScopeError, UnavailableError
from ..events import Name, emit, logger
from .clock import clock_of
from .pruning import PRUNED_AT_ONCE, Pruning
from .refresh_token import SALT_BYTES, RefreshToken
from .revocation.follower import DEFAULT_MAX_DELAY_SECONDS, Revocations
from .revocation.live import token_revocation
from .session import (
    DEFAULT_GRACE_SECONDS,
    DEFAULT_MAX_LIFETIME_SECONDS,
    DEFAULT_REFRESH_LIFETIME_SECONDS,
    Grant,
    Lifetimes,
    Recheck,
    Session,
    Term,
    check_client,
)
from .store import (
    DEFAULT_MAX_PER_SUBJECT,
    Kind,
    Outcome,
    Revocation,
    Rotation,
    SessionStore,
    qualified,
)

MAX_PER_SUBJECT: Final = 1_000_000

_CLEARED_AT_ONCE: Final = 100
_CLEARING_SECONDS: Final = 0.03  # time for removal within a request; pruning does the rest


_EVENTS: Final = {
    Outcome.ROTATED: Name.TOKEN_REFRESHED,
    Outcome.REPEATED: Name.TOKEN_REPEATED,
    Outcome.REPLAYED: Name.TOKEN_REPLAYED,
}


class Sessions:
    """
    Starts, refreshes and ends sessions.

    An access token never outlives its session, so that ending a session ends its tokens.

    Args:
        store: Stores sessions and revocations.
        issuer: Issues the access tokens.
        refresh_lifetime_seconds: Lifetime of a refresh token, and of an unused session; at least
            that of an access token.
        max_lifetime_seconds: Maximum lifetime of a session, however often it is refreshed.
        grace_seconds: How long a used refresh token still yields its successor while that is
            unused: for concurrent requests of a client and lost responses.  0 to 300; with 0 a
            second use is always a replay.
        max_delay_seconds: As for :class:`Revocations`.
        max_per_subject: Maximum number of sessions of a subject, 1 to 1,000,000; one more login
            ends the oldest.
        clock: Returns seconds since the Unix epoch; a store that hosts share uses its own clock
            instead.

    Attributes:
        revocations: The *is_revoked* of a verifier.

    Raises:
        ConfigurationError: An argument is invalid.
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
        max_per_subject: int = DEFAULT_MAX_PER_SUBJECT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_whole("max_per_subject", max_per_subject, 1, MAX_PER_SUBJECT)
        self.lifetimes: Lifetimes = Lifetimes(
            token_lifetime_seconds=issuer.lifetime_seconds,
            refresh_lifetime_seconds=refresh_lifetime_seconds,
            max_lifetime_seconds=max_lifetime_seconds,
            grace_seconds=grace_seconds,
        )
        self.store = store
        self.issuer = issuer
        self.revocations: Revocations = Revocations(
            store, issuer=issuer.issuer, max_delay_seconds=max_delay_seconds, clock=clock
        )
        self._max_per_subject = max_per_subject
        self._clock = clock_of(store, clock)
        self._pruning = Pruning(store, self._clock)

    def start(
        self, payload: JWTPayload, *, credential: str = "", recheck: Recheck | None = None
    ) -> Grant:
        """
        Start a session that can be refreshed.

        Args:
            payload: Subject, client type and maximum permissions of its access tokens.
            credential: As for :class:`Session`.
            recheck: Called after the session is stored, so that a login concurrent with the end of
                all sessions of its account does not survive it.

        Raises:
            InvalidGrantError: The account was disabled or changed; the session has been ended.
            UnavailableError: The session cannot be stored, or the token cannot be signed.
        """
        token = self._new_token()
        issued = self._start(token.sid, payload, credential, recheck, token_hash=token.digest)
        return Grant(issued, payload.scope, token.reveal())

    def start_unrefreshable(
        self, payload: JWTPayload, *, credential: str = "", recheck: Recheck | None = None
    ) -> Grant:
        """
        Start a session with one access token and no refresh token.

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
        self,
        text: str,
        *,
        scope: str | None = None,
        recheck: Recheck | None = None,
        client: str | None = None,
        address: str = "",
    ) -> Grant:
        """
        Exchange a refresh token for an access token and the next refresh token.

        Everything that can fail comes before the token is marked as used.

        Args:
            text: The refresh token.
            scope: Scope of the access token, at most the session's; ``None`` for all of that (RFC
                6749 §6).
            recheck: Re-checks the session's account; ``None`` skips that.
            client: The subject of the authenticated client, if any.
            address: The client's address, for the log.

        Raises:
            InvalidGrantError: The token is invalid, or belongs to another client.  If it was used
                before, or its account was disabled, its session has been ended.
            BadCredentialsError: The token belongs to a client, and the request has no client
                authentication.
            InvalidScopeError: *scope* is malformed, or exceeds the session's.
            UnavailableError: The store or *recheck* is unavailable, or the token cannot be signed.
        """
        token, now = self._parse(text), self._clock()
        session = self.store.find(token.sid)
        if session is None or now >= session.expires_at:
            raise InvalidGrantError("the session is unknown or has ended")
        check_client(session.client, client)
        payload = self._checked(session, recheck)
        term = self.lifetimes.of(payload).term(now=now, ends_at=session.ends_at)
        if scope:
            try:
                payload = replace(payload, scope=narrow(scope, to=payload.scope))
            except InvalidScopeError:
                # A replay counts, whatever scope it asks for.
                if session.token_hash != token.digest:
                    self._use(token, session, term, now=now, address=address)
                raise
        issued = self._issue(payload, token.sid, term, now=now)
        successor = self._use(token, session, term, now=now, address=address)
        return Grant(issued, payload.scope, successor.reveal())

    def find(self, text: str) -> Session | None:
        """
        Return the session of a current refresh token, without using the token.

        Raises:
            UnavailableError: The store is unavailable.
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
            Whether the session existed.

        Raises:
            UnavailableError: The store is unavailable.
        """
        now, session = self._clock(), self.store.find(sid)
        found = self.store.end(sid, issuer=self.issuer.issuer, now=now)
        # Not for an unknown session: any client can send one, and each write makes requests wait.
        if found:
            self._hold_session(sid, session, now=now)
            emit(Name.SESSION_ENDED, sid=sid)
        self._pruning.count_use()
        return found

    def end_by_refresh_token(self, text: str, *, client: str | None = None) -> bool:
        """
        End the session of a refresh token, the current or an earlier one.

        Args:
            text: The refresh token.
            client: As for :meth:`refresh`.

        Returns:
            Whether the session existed.

        Raises:
            InvalidGrantError: It belongs to another client (RFC 7009 §2.1).
            BadCredentialsError: It belongs to a client, and the request has no client
                authentication.
            UnavailableError: The store is unavailable.
        """
        try:
            sid = self._parse(text).sid
        except InvalidGrantError:
            return False
        session = self.store.find(sid)
        if session is None:
            return False
        check_client(session.client, client)
        return self.end(sid)

    def end_all(self, subject: str) -> int:
        """
        End every session of a subject, and revoke all its other tokens issued before now.

        Tokens without a session, such as those of ``jwt-middleware token issue``, are compared by
        *iat* in whole seconds: those of the current second are revoked as well.

        Returns:
            How many sessions have been removed so far; pruning removes the rest.

        Raises:
            UnavailableError: The store is unavailable.
        """
        now = self._clock()
        ended = end_subject(
            self.store,
            issuer=self.issuer.issuer,
            subject=subject,
            now=now,
            max_lifetime_seconds=self.lifetimes.max_lifetime_seconds,
        )
        self._hold("subject", subject, now=now, seconds=self.lifetimes.max_lifetime_seconds)
        self._pruning.count_use()
        emit(Name.SESSION_ENDED, sub=subject, detail=f"all of them: {ended}")
        return ended

    def revoke_token(self, claims: Mapping[str, object]) -> None:
        """
        Revoke one access token; its session goes on.

        Args:
            claims: Its verified claims, at least *iss*, *jti* and *exp*.

        Raises:
            ConfigurationError: It has no *jti* to identify it by.
            UnavailableError: The store is unavailable.
        """
        revocation = token_revocation(claims, now=self._clock())
        self.store.revoke(revocation)
        self.revocations.add(revocation)
        emit(Name.TOKEN_REVOKED, jti=str(claims.get("jti", "")), sub=str(claims.get("sub", "")))
        self._pruning.count_use()

    def prune(self, *, limit: int = PRUNED_AT_ONCE) -> int:
        """
        Remove some expired entries.

        Returns:
            How many entries were removed.

        Raises:
            UnavailableError: The store is unavailable.
        """
        return self.store.prune(now=self._clock(), limit=limit)

    def _use(
        self, token: RefreshToken, session: Session, term: Term, *, now: float, address: str
    ) -> RefreshToken:
        """Mark a refresh token as used and return its successor, or raise."""
        salt = secrets.token_bytes(SALT_BYTES)
        successor = token.successor(salt)
        use = self.store.rotate(
            Rotation(
                sid=token.sid,
                issuer=self.issuer.issuer,
                presented=token.digest,
                successor=successor.digest,
                salt=salt,
                now=now,
                grace_seconds=self.lifetimes.grace_seconds,
                expires_at=term.expires_at,
                tokens_until=term.tokens_until,
                address=address,
            )
        )
        self._pruning.count_use()
        if use.outcome is Outcome.REPLAYED:
            self._hold_session(session.sid, session, now=now, seconds=term.token_seconds)
        if use.outcome in _EVENTS:
            before = "" if use.outcome is Outcome.ROTATED else f"before from {use.address or '?'}"
            emit(
                _EVENTS[use.outcome],
                sid=session.sid,
                sub=session.subject,
                client=address,
                detail=before,
            )
        if use.outcome in {Outcome.REPLAYED, Outcome.GONE}:
            raise InvalidGrantError(f"the refresh token is {use.outcome.value}")
        return successor if use.salt == salt else token.successor(use.salt)

    def _hold_session(
        self, sid: str, session: Session | None, *, now: float, seconds: float = 0
    ) -> None:
        lifetimes = self.lifetimes if session is None else self.lifetimes.of(session.payload)
        seconds = max(seconds, lifetimes.token_lifetime_seconds)
        self._hold("session", sid, now=now, seconds=seconds)

    def _hold(self, kind: Kind, name: str, *, now: float, seconds: float) -> None:
        """Let this process know at once what it has ended, even if the store is lost."""
        expires_at = math.ceil(now + seconds) + MAX_LEEWAY_SECONDS
        key = qualified(self.issuer.issuer, name)
        self.revocations.add(Revocation(kind, key, int(now), expires_at))

    def _checked(self, session: Session, recheck: Recheck | None) -> JWTPayload:
        """Return the payload of *recheck*, its scope limited to the session's."""
        if recheck is None:
            return session.payload
        try:
            payload = recheck(session)
        except InvalidGrantError:
            self.end(session.sid)
            raise
        if payload.scope == session.payload.scope:
            return payload
        return replace(payload, scope=common(payload.scope, session.payload.scope))

    def _start(
        self,
        sid: str,
        payload: JWTPayload,
        credential: str,
        recheck: Recheck | None,
        *,
        token_hash: bytes | None,
    ) -> IssuedToken:
        now, lifetimes = self._clock(), self.lifetimes.of(payload)
        # Without a refresh token the session ends with its access token.
        longest = (
            lifetimes.token_lifetime_seconds
            if token_hash is None
            else lifetimes.max_lifetime_seconds
        )
        ends_at = now + longest
        term = lifetimes.term(now=now, ends_at=ends_at)
        session = Session(
            sid=sid,
            issuer=self.issuer.issuer,
            payload=payload,
            credential=credential,
            created_at=now,
            used_at=now,
            expires_at=term.expires_at,
            ends_at=ends_at,
            tokens_until=term.tokens_until,
            token_hash=token_hash,
        )
        issued = self._issue(payload, sid, term, now=now)
        self.store.add(session, max_per_subject=self._max_per_subject)
        self._checked(session, recheck)
        self._pruning.count_use()
        return issued

    def _new_token(self) -> RefreshToken:
        return RefreshToken.generate(issuer=self.issuer.issuer)

    def _parse(self, text: str) -> RefreshToken:
        return RefreshToken.parse(text, issuer=self.issuer.issuer)

    def _issue(self, payload: JWTPayload, sid: str, term: Term, *, now: float) -> IssuedToken:
        return self.issuer.issue(
            payload, lifetime_seconds=term.token_seconds, session_id=sid, now=now
        )


def end_subject(
    store: SessionStore,
    *,
    issuer: str,
    subject: str,
    now: float,
    max_lifetime_seconds: float,
    clearing_seconds: float = _CLEARING_SECONDS,
) -> int:
    """
    End all sessions of a subject in one write, and remove them within a time limit.

    Args:
        store: The store of the sessions.
        issuer: The *iss* of their tokens.
        subject: The claim *sub* of their tokens.
        now: Seconds since the Unix epoch.
        max_lifetime_seconds: Maximum lifetime of a session, however often it is refreshed.
        clearing_seconds: Time limit for removal.

    Returns:
        How many sessions have been removed.

    Raises:
        UnavailableError: The store is unavailable; nothing was ended.
    """
    store.end_all(issuer, subject, now=now, expires_at=now + max_lifetime_seconds)
    removed, until = 0, time.monotonic() + clearing_seconds
    try:
        while (cleared := store.clear_ended(issuer, subject, limit=_CLEARED_AT_ONCE)) > 0:
            removed += cleared
            if cleared < _CLEARED_AT_ONCE or time.monotonic() >= until:
                break
    except UnavailableError as error:
        logger.warning("removing ended sessions failed, pruning will retry: %s", error)
    return removed
