from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any
from wsgiref.validate import validator

import pytest
from webtest import TestApp, TestResponse

from jwt_middleware import JWTMiddleware, KeySet, MemorySessions, Policy, Rule, TokenVerifier
from jwt_middleware.errors import ConfigurationError, UnavailableError
from jwt_middleware.keysources.remote.fetching import Fetched
from jwt_middleware.keysources.remote.refreshing import RefreshedKeys, Timing
from jwt_middleware.wsgi.health import OVERDUE_SECONDS, REMEMBERED_SECONDS, Health

from ..service import Service, show_identity

SECRET = "postgresql://app:hunter2@db.internal/app"


class Probed:
    """A protected app with health, a part of its own that can fail, and a clock."""

    def __init__(self, verifier: TokenVerifier, **settings: Any) -> None:
        self.now = 100.0
        self.asked = 0
        self.check: Callable[[], object] = lambda: None
        self.health = Health(
            verifier=verifier, parts={"ldap": self.part}, monotonic=lambda: self.now, **settings
        )
        app = JWTMiddleware(validator(show_identity), verifier=verifier, health=self.health)
        self.web = TestApp(validator(app))

    def part(self) -> None:
        self.asked += 1
        self.check()

    def ready(self, status: int | None = None, **options: Any) -> TestResponse:
        return self.web.get("/health", status=status, **options)


@pytest.fixture
def probed(verifier: TokenVerifier) -> Probed:
    return Probed(verifier)


def down() -> None:
    raise UnavailableError(f"{SECRET} is away")


class TestReadiness:
    def test_names_each_part(self, probed: Probed) -> None:
        answer = probed.ready()
        assert answer.json == {"status": "ready", "keys": "ok", "ldap": "ok"}
        assert answer.headers["Cache-Control"] == "no-store"

    def test_head_has_the_status_alone(self, probed: Probed) -> None:
        assert probed.web.head("/health").body == b""
        probed.check, probed.now = down, 200
        assert probed.web.head("/health", status=503).body == b""

    @pytest.mark.parametrize("error", [UnavailableError(SECRET), OSError(SECRET), KeyError(SECRET)])
    def test_says_which_part_fails_and_only_the_log_why(
        self, probed: Probed, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail() -> None:
            raise error

        probed.check = fail
        answer = probed.ready(503)
        assert answer.json == {"status": "unavailable", "keys": "ok", "ldap": "unavailable"}
        assert answer.headers["Retry-After"] == "1"
        assert "hunter2" not in answer.text + str(answer.headers)
        assert "not ready: ldap: " in caplog.text
        assert ("hunter2" in caplog.text) == isinstance(error, UnavailableError)

    def test_the_log_tells_a_change_once(
        self, probed: Probed, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        probed.check = down
        for _ in range(3):
            probed.ready(503)
            probed.now += REMEMBERED_SECONDS
        probed.check = lambda: None
        for _ in range(3):
            probed.ready()
            probed.now += REMEMBERED_SECONDS
        lines = [record.getMessage() for record in caplog.records]
        assert lines == [f"not ready: ldap: {SECRET} is away", "ready"]

    def test_is_remembered_for_a_second(self, probed: Probed) -> None:
        for _ in range(5):
            probed.ready()
        assert probed.asked == 1
        probed.check = down
        probed.now += REMEMBERED_SECONDS / 2
        probed.ready(200)
        probed.now += REMEMBERED_SECONDS / 2
        probed.ready(503)
        assert probed.asked == 2

    def test_is_checked_by_one_request_at_a_time(self, probed: Probed) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def wait() -> None:
            begun.set()
            assert go_on.wait(10)

        probed.ready()
        probed.check, probed.now = wait, probed.now + REMEMBERED_SECONDS
        slow = threading.Thread(target=probed.ready)
        slow.start()
        assert begun.wait(10)
        probed.ready(200)  # the last report
        probed.now += OVERDUE_SECONDS
        probed.ready(503)  # which is too old
        go_on.set()
        slow.join(10)
        assert probed.asked == 2

    def test_after_a_part_that_takes_a_second_no_other_is_asked(
        self, verifier: TokenVerifier
    ) -> None:
        now, asked = [0.0], []

        def slow() -> None:
            now[0] += 1

        health = Health(
            verifier=verifier,
            parts={"slow": slow, "other": lambda: asked.append(1)},
            monotonic=lambda: now[0],
        )
        app = TestApp(JWTMiddleware(show_identity, verifier=verifier, health=health))
        parts = app.get("/health", status=503).json
        assert (parts["slow"], parts["other"]) == ("ok", "not checked")
        assert not asked

    def test_is_of_each_process(self, probed: Probed, monkeypatch: pytest.MonkeyPatch) -> None:
        probed.ready()
        probed.check = down
        pid = os.getpid()
        monkeypatch.setattr(os, "getpid", lambda: pid + 1)
        probed.ready(503)

    def test_other_methods_are_refused(self, probed: Probed) -> None:
        for path in ("/health", "/health/live"):
            answer = probed.web.post(path, status=405)
            assert answer.headers["Allow"] == "GET, HEAD"
        assert probed.asked == 0


class TestLiveness:
    def test_checks_nothing(self, probed: Probed) -> None:
        probed.check = down
        assert probed.web.get("/health/live").json == {"status": "live"}
        assert probed.asked == 0

    def test_has_a_path_of_its_own(self, verifier: TokenVerifier) -> None:
        probed = Probed(verifier, live_path="/livez")
        assert probed.web.get("/livez").json == {"status": "live"}
        probed.web.get("/health/live", status=401)


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        ["/health/", "/Health", "/healthz", "/health/x", "//health", "/./health", "/health;x", "/"],
    )
    def test_all_others_are_denied_as_ever(self, probed: Probed, path: str) -> None:
        probed.web.get(path, status=401)
        assert probed.asked == 0

    def test_are_those_below_a_mount(self, probed: Probed) -> None:
        environ = {"SCRIPT_NAME": "/shop"}
        assert probed.ready(extra_environ=environ).json["status"] == "ready"
        probed.web.get("/shop/health", status=401)

    @pytest.mark.parametrize(
        "settings",
        [
            {"path": "health"},
            {"path": ""},
            {"path": "/"},
            {"path": "/h*"},
            {"path": "/a/../h"},
            {"path": "//h"},
            {"live_path": "live"},
            {"live_path": "/health"},
            {"parts": {"keys": print}},
            {"parts": {"status": print}},
            {"parts": {"db": None}},
        ],
    )
    def test_must_be_such(self, verifier: TokenVerifier, settings: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match=r"path|parts"):
            Health(verifier=verifier, **settings)

    def test_must_be_free(self, service: Service) -> None:
        health = Health(verifier=service.verifier, path="/token")
        with pytest.raises(ConfigurationError, match="'/token' is taken"):
            JWTMiddleware(
                show_identity, verifier=service.verifier, endpoint=service.endpoint, health=health
            )

    def test_stand_before_rules_and_tokens(self, verifier: TokenVerifier) -> None:
        policy = Policy([Rule("/health", scopes=["admin"])])
        app = JWTMiddleware(
            show_identity, verifier=verifier, policy=policy, health=Health(verifier=verifier)
        )
        TestApp(app).get("/health", headers={"Authorization": "Bearer x"})


class FailingStore(MemorySessions):
    """Takes no writes, as a replica, or tells no revocations."""

    fails = ""

    def end(self, *args: Any, **options: Any) -> bool:
        self._fail("end")
        return super().end(*args, **options)

    def changes(self, *args: Any, **options: Any) -> Any:
        self._fail("changes")
        return super().changes(*args, **options)

    def _fail(self, name: str) -> None:
        if self.fails == name:
            raise UnavailableError(name)


class TestSessions:
    @pytest.mark.parametrize(
        ("fails", "part"), [("", ""), ("end", "sessions"), ("changes", "revocations")]
    )
    def test_store_must_write_and_tell_revocations(
        self, make_service: Callable[..., Service], fails: str, part: str
    ) -> None:
        store = FailingStore()
        service = make_service(store)
        store.fails = fails
        health = Health(verifier=service.verifier, sessions=service.sessions)
        app = JWTMiddleware(show_identity, verifier=service.verifier, health=health)
        answer = TestApp(app).get("/health", expect_errors=True)
        parts = {name for name, state in answer.json.items() if state == "unavailable"}
        assert parts - {"status"} == ({part} if part else set())
        assert answer.status_int == (503 if part else 200)
        assert answer.json["revocations_age_seconds"] == (None if part == "revocations" else 0)

    def test_in_memory_are_of_one_process(self, service: Service) -> None:
        health = Health(verifier=service.verifier, sessions=service.sessions)
        app = JWTMiddleware(show_identity, verifier=service.verifier, health=health)
        environ = {"wsgi.multiprocess": True}
        answer = TestApp(app).get("/health", extra_environ=environ, status=503)
        assert answer.json["sessions"] == "unavailable"
        TestApp(app).get("/health", extra_environ={"wsgi.multiprocess": False})


class TestKeys:
    def test_that_are_fetched_are_not_waited_for(self, keys: KeySet) -> None:
        fetches: list[Callable[[], None]] = []
        remote = RefreshedKeys(
            lambda: Fetched(b"", None, "https://auth/keys"),
            lambda _: keys,
            name="keys",
            timing=Timing(),
            clock=lambda: 0.0,
            spawn=fetches.append,
        )
        probed = Probed(TokenVerifier(keys=remote, issuer="https://auth", audience="api"))
        assert probed.ready(503).json["keys"] == "unavailable"
        [fetch] = fetches
        fetch()
        probed.now += REMEMBERED_SECONDS
        assert probed.ready().json["keys"] == "ok"
        assert len(fetches) == 1
