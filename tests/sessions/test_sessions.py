from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jwt_middleware import JWTPayload, KeySet, TokenIssuer, TokenVerifier
from jwt_middleware.errors import (
    ConfigurationError,
    ExpiredTokenError,
    InvalidGrantError,
    InvalidScopeError,
    RevokedTokenError,
    UnavailableError,
)
from jwt_middleware.sessions import MemorySessions, Session, Sessions
from jwt_middleware.sessions.store import Changes, Cursor

from .conftest import NOW, Clock

ANN = JWTPayload(uid=42, auth="blue", scope="read write", ac_type="email")
DAY = 86_400

MakeSessions = Callable[..., Sessions]


def refresh_token(sessions: Sessions, **settings: Any) -> str:
    return sessions.start(ANN, **settings).refresh_token or ""


def refreshed(sessions: Sessions, text: str, **settings: Any) -> str:
    return sessions.refresh(text, **settings).refresh_token or ""


class TestStart:
    def test_the_access_token_names_its_session(
        self, sessions: Sessions, verifier: TokenVerifier
    ) -> None:
        grant = sessions.start(ANN)
        claims = verifier.verify(grant.issued.token).claims
        [session] = sessions.store.list()
        assert claims["sid"] == session.sid
        assert (claims["uid"], claims["scope"], claims["ac_type"]) == (42, "read write", "email")
        assert grant.scope == "read write"
        assert session.subject == "42"

    def test_is_recorded_or_nothing_leaves(
        self, sessions: Sessions, memory: MemorySessions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: Session, **__: object) -> None:
            raise UnavailableError("full")

        monkeypatch.setattr(memory, "add", fail)
        with pytest.raises(UnavailableError, match="full"):
            sessions.start(ANN)

    def test_neither_token_shows(self, sessions: Sessions) -> None:
        grant = sessions.start(ANN, credential="1799999999")
        [session] = sessions.store.list()
        shown = repr(grant) + repr(session) + repr(sessions.store)
        assert grant.issued.token not in shown
        assert str(grant.refresh_token) not in shown
        assert "1799999999" not in repr(session)

    def test_one_that_cannot_be_refreshed_ends_with_its_token(
        self, sessions: Sessions, clock: Clock
    ) -> None:
        grant = sessions.start_unrefreshable(ANN)
        assert grant.refresh_token is None
        [session] = sessions.store.list()
        assert session.expires_at == session.ends_at == clock.now + 7200
        assert session.token_hash is None


class TestRefresh:
    def test_each_use_gives_another_of_each(
        self, sessions: Sessions, verifier: TokenVerifier
    ) -> None:
        first = sessions.start(ANN)
        second = sessions.refresh(str(first.refresh_token))
        assert second.refresh_token != first.refresh_token
        one, two = (verifier.verify(grant.issued.token).claims for grant in (first, second))
        assert one["sid"] == two["sid"]
        assert one["jti"] != two["jti"]
        assert {**two, "jti": one["jti"]} == one

    def test_a_chain_of_uses_is_one_session(self, sessions: Sessions, clock: Clock) -> None:
        text = refresh_token(sessions)
        for _ in range(20):
            clock.now += 3600
            text = refreshed(sessions, text)
        assert len([*sessions.store.list()]) == 1

    @pytest.mark.parametrize("uses", [1, 2, 5])
    def test_a_replay_ends_the_session(
        self,
        uses: int,
        sessions: Sessions,
        verifier: TokenVerifier,
        clock: Clock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        first = sessions.start(ANN)
        grants = [first]
        for _ in range(uses):
            grants.append(sessions.refresh(str(grants[-1].refresh_token)))
        clock.now += 11
        with (
            caplog.at_level(logging.WARNING),
            pytest.raises(InvalidGrantError, match="replayed"),
        ):
            sessions.refresh(str(first.refresh_token))
        assert "token.replayed sid=" in caplog.text
        assert "sub=42" in caplog.text
        for grant in grants:
            assert str(grant.refresh_token) not in caplog.text
            with pytest.raises(RevokedTokenError):
                verifier.verify(grant.issued.token)
            with pytest.raises(InvalidGrantError):
                sessions.refresh(str(grant.refresh_token))

    @pytest.mark.parametrize(("later", "good"), [(0, True), (9.99, True), (10, False)])
    def test_within_the_grace_two_uses_get_the_same_successor(
        self,
        later: float,
        good: bool,  # noqa: FBT001
        sessions: Sessions,
        clock: Clock,
        verifier: TokenVerifier,
    ) -> None:
        text = refresh_token(sessions)
        successor = refreshed(sessions, text)
        clock.now += later
        if good:
            again = sessions.refresh(text)
            assert again.refresh_token == successor
            assert verifier.verify(again.issued.token).subject == "42"
            refreshed(sessions, successor)
        else:
            with pytest.raises(InvalidGrantError):
                sessions.refresh(text)
            with pytest.raises(InvalidGrantError):
                sessions.refresh(successor)

    def test_without_grace_a_second_use_is_a_replay_at_once(
        self, make_sessions: MakeSessions
    ) -> None:
        sessions = make_sessions(grace_seconds=0)
        text = refresh_token(sessions)
        successor = refreshed(sessions, text)
        for one in (text, successor):
            with pytest.raises(InvalidGrantError):
                sessions.refresh(one)

    def test_within_the_grace_a_use_after_the_successor_s_is_a_replay(
        self, sessions: Sessions
    ) -> None:
        text = refresh_token(sessions)
        last = refreshed(sessions, refreshed(sessions, text))
        for one in (text, last):
            with pytest.raises(InvalidGrantError):
                sessions.refresh(one)

    def test_a_made_up_token_of_a_known_session_touches_nothing(self, sessions: Sessions) -> None:
        text = refresh_token(sessions)
        [session] = sessions.store.list()
        for made_up in (session.sid, session.sid.ljust(64, "A"), "A" * 64):
            with pytest.raises(InvalidGrantError):
                sessions.refresh(made_up)
        refreshed(sessions, text)

    def test_a_token_of_another_issuer_that_shares_the_store_is_none(
        self, sessions: Sessions, memory: MemorySessions, keys: KeySet, clock: Clock
    ) -> None:
        other = TokenIssuer(keys=keys, issuer="https://other", audience="api", clock=clock)
        elsewhere = Sessions(store=memory, issuer=other, clock=clock)
        text = refresh_token(sessions)
        with pytest.raises(InvalidGrantError):
            elsewhere.refresh(text)
        assert not elsewhere.end_by_refresh_token(text)
        refreshed(sessions, text)

    def test_the_expiry_slides_up_to_the_end(self, sessions: Sessions, clock: Clock) -> None:
        text = refresh_token(sessions)
        while True:
            clock.now += 13 * DAY
            try:
                text = refreshed(sessions, text)
            except InvalidGrantError:
                break
        assert clock.now == NOW + 91 * DAY

    @pytest.mark.parametrize(("later", "good"), [(14 * DAY - 0.001, True), (14 * DAY, False)])
    def test_an_unused_token_expires(
        self,
        later: float,
        good: bool,  # noqa: FBT001
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        text = refresh_token(sessions)
        clock.now += later
        if good:
            refreshed(sessions, text)
        else:
            with pytest.raises(InvalidGrantError):
                sessions.refresh(text)

    def test_no_access_token_outlives_the_session(
        self, make_sessions: MakeSessions, clock: Clock
    ) -> None:
        sessions = make_sessions(refresh_lifetime_seconds=7200, max_lifetime_seconds=10_000)
        text = refresh_token(sessions)
        clock.now += 7000.5
        assert sessions.refresh(text).issued.expires_in == 2999

    def test_scope_can_shrink_for_one_token(
        self, sessions: Sessions, verifier: TokenVerifier
    ) -> None:
        grant = sessions.refresh(refresh_token(sessions), scope="read")
        assert grant.scope == verifier.verify(grant.issued.token).claims["scope"] == "read"
        # RFC 6749 §6: the next refresh token's scope is that of the one before.
        assert sessions.refresh(str(grant.refresh_token)).scope == "read write"

    def test_a_scope_that_would_grow_uses_nothing_up(self, sessions: Sessions) -> None:
        text = refresh_token(sessions)
        with pytest.raises(InvalidScopeError):
            sessions.refresh(text, scope="read admin")
        refreshed(sessions, text)


class TestRecheck:
    def test_the_account_s_scope_limits_the_session_s(self, sessions: Sessions) -> None:
        def recheck(session: Session) -> JWTPayload:
            return replace(session.payload, scope="write admin")

        text = refresh_token(sessions)
        grant = sessions.refresh(text, recheck=recheck)
        assert grant.scope == "write"
        with pytest.raises(InvalidScopeError):
            sessions.refresh(str(grant.refresh_token), scope="read", recheck=recheck)

    def test_an_account_that_may_not_log_in_loses_its_session(
        self, sessions: Sessions, verifier: TokenVerifier
    ) -> None:
        def refuse(_: Session) -> JWTPayload:
            raise InvalidGrantError("the account is disabled")

        grant = sessions.start(ANN)
        with pytest.raises(InvalidGrantError, match="disabled"):
            sessions.refresh(str(grant.refresh_token), recheck=refuse)
        with pytest.raises(InvalidGrantError):
            sessions.refresh(str(grant.refresh_token))
        with pytest.raises(RevokedTokenError):
            verifier.verify(grant.issued.token)

    def test_who_cannot_be_asked_uses_nothing_up(self, sessions: Sessions) -> None:
        def fail(_: Session) -> JWTPayload:
            raise UnavailableError("away")

        text = refresh_token(sessions)
        with pytest.raises(UnavailableError):
            sessions.refresh(text, recheck=fail)
        refreshed(sessions, text)

    def test_is_shown_the_credential(self, sessions: Sessions) -> None:
        seen = []

        def remember(session: Session) -> JWTPayload:
            seen.append(session.credential)
            return session.payload

        sessions.refresh(refresh_token(sessions, credential="v1"), recheck=remember)
        assert seen == ["v1"]


class TestEnd:
    def test_ends_both_tokens(self, sessions: Sessions, verifier: TokenVerifier) -> None:
        grant = sessions.start(ANN)
        other = sessions.start(ANN)
        sid = verifier.verify(grant.issued.token).claims["sid"]
        assert sessions.end(sid)
        with pytest.raises(RevokedTokenError):
            verifier.verify(grant.issued.token)
        with pytest.raises(InvalidGrantError):
            sessions.refresh(str(grant.refresh_token))
        assert not sessions.end(sid)
        verifier.verify(other.issued.token)

    @pytest.mark.parametrize("used", [0, 1, 2])
    def test_by_any_refresh_token_of_it(
        self, used: int, sessions: Sessions, verifier: TokenVerifier
    ) -> None:
        grant = sessions.start(ANN)
        text = str(grant.refresh_token)
        latest = text
        for _ in range(used):
            latest = refreshed(sessions, latest)
        assert sessions.end_by_refresh_token(text)
        with pytest.raises(InvalidGrantError):
            sessions.refresh(latest)
        with pytest.raises(RevokedTokenError):
            verifier.verify(grant.issued.token)
        assert not sessions.end_by_refresh_token(text)
        assert not sessions.end_by_refresh_token("nonsense")

    def test_all_of_a_subject_and_of_nobody_else(
        self, sessions: Sessions, verifier: TokenVerifier, issuer: TokenIssuer
    ) -> None:
        mine = [sessions.start(ANN).issued.token for _ in range(3)]
        loose = issuer.issue(ANN).token
        other = sessions.start(replace(ANN, uid=43)).issued.token
        assert sessions.end_all("42") == 3
        for token in (*mine, loose):
            with pytest.raises(RevokedTokenError):
                verifier.verify(token)
        verifier.verify(other)

    @pytest.mark.parametrize("seconds", [0, 1, 299, 300, 301, 5_000])
    def test_all_of_a_subject_however_long_ago_they_were_used(
        self, sessions: Sessions, verifier: TokenVerifier, clock: Clock, seconds: int
    ) -> None:
        grant = sessions.start(ANN)
        verifier.verify(grant.issued.token)
        clock.now += seconds
        assert sessions.end_all("42") == 1
        with pytest.raises(RevokedTokenError):
            verifier.verify(grant.issued.token)
        with pytest.raises(InvalidGrantError):
            sessions.refresh(str(grant.refresh_token))

    def test_who_logs_in_again_in_the_same_second_is_in(
        self, sessions: Sessions, verifier: TokenVerifier
    ) -> None:
        sessions.end_all("42")
        grant = sessions.start(ANN)
        verifier.verify(grant.issued.token)
        sessions.refresh(str(grant.refresh_token))

    def test_what_the_store_has_lost_is_ended_by_its_subject(
        self, sessions: Sessions, verifier: TokenVerifier, memory: MemorySessions, clock: Clock
    ) -> None:
        token = sessions.start(ANN).issued.token
        memory._sessions.clear()
        memory._sids.clear()
        clock.now += 1
        sessions.end_all("42")
        with pytest.raises(RevokedTokenError):
            verifier.verify(token)

    def test_one_token_and_nothing_else(self, sessions: Sessions, verifier: TokenVerifier) -> None:
        grant = sessions.start(ANN)
        sessions.revoke_token(verifier.verify(grant.issued.token).claims)
        with pytest.raises(RevokedTokenError):
            verifier.verify(grant.issued.token)
        again = sessions.refresh(str(grant.refresh_token))
        verifier.verify(again.issued.token)

    @pytest.mark.parametrize("claims", [{"jti": None}, {"jti": 7}, {"exp": None}, {"exp": "1"}])
    def test_a_token_that_cannot_be_named_is_refused(
        self, claims: dict[str, Any], sessions: Sessions
    ) -> None:
        with pytest.raises(ConfigurationError):
            sessions.revoke_token({"iss": "https://auth", "jti": "j", "exp": NOW} | claims)

    def test_a_revocation_lasts_as_long_as_the_most_lenient_verifier_takes_the_token(
        self, sessions: Sessions, issuer: TokenIssuer, keys: KeySet, clock: Clock
    ) -> None:
        lenient = TokenVerifier(
            keys=keys,
            issuer="https://auth",
            audience="api",
            leeway_seconds=300,
            is_revoked=sessions.revocations,
            clock=clock,
        )
        token = sessions.start(ANN).issued.token
        sessions.end_all("42")
        clock.now += 7200 + 299
        sessions.prune()
        with pytest.raises(RevokedTokenError):
            lenient.verify(token)
        clock.now += 1
        with pytest.raises(ExpiredTokenError):
            lenient.verify(token)


class TestFind:
    def test_finds_by_the_latest_token_alone_and_uses_nothing_up(
        self, sessions: Sessions, clock: Clock
    ) -> None:
        text = refresh_token(sessions)
        session = sessions.find(text)
        assert session is not None
        assert session.subject == "42"
        latest = refreshed(sessions, text)
        assert sessions.find(text) is None
        assert sessions.find(latest) is not None
        assert sessions.find("nonsense") is None
        clock.now += 14 * DAY
        assert sessions.find(latest) is None


class TestPruning:
    def test_goes_on_by_itself(
        self, make_sessions: MakeSessions, memory: MemorySessions, clock: Clock
    ) -> None:
        sessions = make_sessions(refresh_lifetime_seconds=7200, max_lifetime_seconds=7200)
        for number in range(500):
            clock.now += 60
            grant = sessions.start(ANN)
            if number % 2:
                sessions.end_by_refresh_token(str(grant.refresh_token))
        # Two hours and five minutes of 250 sessions and as many revocations, and some more.
        assert 60 < len([*memory.list()]) < 130
        assert 60 < len(memory._log) < 200

    def test_that_fails_stops_nobody(
        self,
        sessions: Sessions,
        memory: MemorySessions,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail(**_: object) -> int:
            raise UnavailableError("away")

        monkeypatch.setattr(memory, "prune", fail)
        for _ in range(100):
            sessions.start(ANN)
        assert caplog.text.count("not pruned: away") == 2


def test_a_token_of_no_session_has_nobody_wait_for_the_store(
    make_sessions: Callable[..., Sessions], memory: MemorySessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = make_sessions(max_delay_seconds=60)
    token = refresh_token(sessions)
    asked: list[Cursor | None] = []
    changes = memory.changes

    def counted(since: Cursor | None, *, limit: int) -> Changes:
        asked.append(since)
        return changes(since, limit=limit)

    monkeypatch.setattr(memory, "changes", counted)
    sessions.revocations.current()
    assert not sessions.end_by_refresh_token("A" * 64)
    sessions.revocations.current()
    assert len(asked) == 1
    assert sessions.end_by_refresh_token(token)
    sessions.revocations.current()
    assert len(asked) == 2


def test_a_replay_is_one_whatever_scope_it_asks_for(sessions: Sessions, clock: Clock) -> None:
    first = refresh_token(sessions)
    second = refreshed(sessions, first)
    with pytest.raises(InvalidScopeError):  # within the grace it is no replay
        sessions.refresh(first, scope="admin")
    with pytest.raises(InvalidScopeError):  # and this one is not used up
        sessions.refresh(second, scope="admin")
    assert sessions.find(second) is not None
    clock.now += 10
    with pytest.raises(InvalidGrantError):
        sessions.refresh(first, scope="admin")
    assert sessions.find(second) is None
