from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from webtest import TestApp

from jwt_middleware import events, wrap
from jwt_middleware.config import load
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.events import Event, Name

from ..table import table
from .writing import TRUSTED_FILE, TRUSTED_KEY, app, assert_one_line, jwks, token, write

ENDPOINT = "[endpoint]\n[accounts]\nurl = 'sqlite:///a.db'\n"


class TestLogging:
    def test_calls_on_event(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "audit_of_tests.py").write_text("heard = []\nrecord = heard.append\n")
        monkeypatch.syspath_prepend(folder)
        config = write(folder, "[logging]\non_event = 'audit_of_tests:record'\n")
        protected = TestApp(wrap(config, app))
        import audit_of_tests  # type: ignore[import-not-found]  # noqa: PLC0415

        try:
            protected.get("/", status=401)
        finally:
            events._listeners.remove(audit_of_tests.record)
            events._look_up_level()
        names = [event.name for event in audit_of_tests.heard]
        assert names == [Name.CONFIGURATION_LOADED, Name.REQUEST_REFUSED]


class TestMetrics:
    def test_are_exported_by_their_own_rule(self, folder: Path) -> None:
        config = write(folder, ENDPOINT + "[metrics]\npath = '/metrics'\nscopes = ['read']\n")
        wrapped = wrap(config, app)
        protected = TestApp(wrapped)
        try:
            protected.get("/metrics", status=401)
            answer = protected.get("/metrics", headers={"Authorization": f"Bearer {token()}"})
        finally:
            assert wrapped.metrics is not None
            wrapped.metrics.close()
        assert "jwt_middleware_requests_total" in answer.text
        assert "jwt_middleware_hasher_waiting 0.0" in answer.text

    def test_bring_no_warning_twice(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        (folder / "jwks.json").write_text(jwks(TRUSTED_KEY))
        config = write(folder, TRUSTED_FILE + "[metrics]\npath = '/metrics'\n")
        wrapped = wrap(config, app)
        assert wrapped.metrics is not None
        wrapped.metrics.close()
        assert caplog.text.count("REMOTE_USER is not set") == 1

    def test_without_a_path_are_not_exported(self, folder: Path) -> None:
        wrapped = wrap(write(folder, "[metrics]\n"), app)
        assert wrapped.metrics is not None
        wrapped.metrics.close()
        assert "/metrics" not in wrapped.mounted


class TestProxies:
    CONFIG = ENDPOINT + "[sessions]\nurl = 'sqlite:///s.db'\n"
    HOPS = "203.0.113.9, 192.0.2.7, 10.0.0.2"

    @pytest.mark.parametrize(
        ("text", "client"),
        [
            ("", "127.0.0.1"),
            ("[request]\ntrusted_proxies = 1\n", "10.0.0.2"),
            ("[login]\ntrusted_proxies = 2\n", "192.0.2.7"),
            ("[request]\ntrusted_proxies = 2\n[login]\ntrusted_proxies = 2\n", "192.0.2.7"),
        ],
    )
    def test_count_in_all_events(self, folder: Path, text: str, client: str) -> None:
        config = write(folder, self.CONFIG + text)
        load(config).build_accounts().create_schema()
        protected = TestApp(
            wrap(config, app),
            extra_environ={"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": self.HOPS},
        )
        heard: list[Event] = []
        end = events.listen(heard.append)
        try:
            protected.get("/", status=401)
            protected.get("/", headers={"Authorization": f"Bearer {token()}"})
            login = {"account": "ann@example.com", "secret": "wrong", "type": "email"}
            protected.post_json("/token", login, status=401)
            protected.post_json("/token", {}, status=400)
        finally:
            end()
        assert [one.fields["client"] for one in heard if "client" in one.fields] == [client] * 4

    def test_are_not_two_numbers(self, folder: Path) -> None:
        text = "[request]\ntrusted_proxies = 1\n[login]\ntrusted_proxies = 2\n"
        with pytest.raises(ConfigurationError, match=r"login\.trusted_proxies: differs"):
            wrap(write(folder, self.CONFIG + text), app)


class TestHealth:
    def test_is_off_by_default(self, folder: Path) -> None:
        assert not [path for path in wrap(write(folder, ""), app).mounted if "health" in path]

    def test_checks_all_parts(self, folder: Path) -> None:
        sessions = "[sessions]\nurl = 'sqlite:///s.db'\n"
        config = write(folder, ENDPOINT + sessions + "[health]\npath = '/health'\n")
        protected = TestApp(wrap(config, app))
        parts = {"keys": "ok", "revocations": "ok", "sessions": "ok", "revocations_age_seconds": 0}
        assert protected.get("/health/live").json == {"status": "live"}
        assert protected.get("/health", status=503).json == {
            "status": "unavailable", **parts, "accounts": "unavailable",
        }  # fmt: skip
        load(config).build_accounts().create_schema()
        protected = TestApp(wrap(config, app))
        assert protected.get("/health").json == {"status": "ready", **parts, "accounts": "ok"}

    def test_of_a_follower_is_that_of_its_revocations(self, folder: Path) -> None:
        sessions = "[sessions]\nurl = 'sqlite:///s.db'\n"
        config = write(folder, sessions + "[health]\npath = '/ready'\nlive_path = '/live'\n")
        answer = TestApp(wrap(config, app)).get("/ready", status=503)
        assert answer.json == {
            "status": "unavailable", "keys": "ok", "revocations": "unavailable",
            "revocations_age_seconds": None,
        }  # fmt: skip


class TestEnviron:
    def test_maps_claims_of_each_issuer(self, folder: Path) -> None:
        (folder / "jwks.json").write_text(jwks(TRUSTED_KEY))
        config = write(
            folder,
            "[environ]\nHTTP_X_USER = 'sub'\nkeep_authorization = false\n"
            + TRUSTED_FILE
            + "environ = { HTTP_X_OTHER = 'sub' }\n",
        )
        seen: dict[str, Any] = {}

        def show(environ: Any, start_response: Any) -> list[bytes]:
            seen.update(environ)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b""]

        protected = TestApp(wrap(config, show), lint=False)
        headers = {"Authorization": f"Bearer {token()}", "X-User": "x", "X-Other": "x"}
        protected.get("/", headers=headers)
        assert seen["HTTP_X_USER"] == "42"
        assert "HTTP_X_OTHER" not in seen
        assert "HTTP_AUTHORIZATION" not in seen


@table(
    ("text", "parts"),
    [
        pytest.param("mode = 'off'", ['mode: must be "enforce" or "report"'], id="mode"),
        pytest.param("[logging]\nformat = 'xml'", ["logging.format: must be"], id="format"),
        pytest.param("[logging]\nlevel = 'all'", ["logging.level: must be"], id="level"),
        pytest.param("[logging]\nmax_per_second = 0", ["logging.max_per_second must"], id="rate"),
        pytest.param("[logging]\non_event = 'json:no'", ["logging.on_event", "'no'"], id="hook"),
        pytest.param("[logging]\non_event = 'gc:enable'", ["logging.on_event"], id="no argument"),
        pytest.param("[logging]\non_event = 'asyncio:sleep'", ["plain function"], id="async"),
        pytest.param("[metrics]\npath = 'm'", ["metrics: ", "slash"], id="path"),
        pytest.param("[metrics]\npath = '/*'", ["metrics.path: must be one path"], id="wildcard"),
        pytest.param(
            "[metrics]\npath = '/m'\naccess = 'public'\nscopes = ['a']", ["metrics: "], id="public"
        ),
        pytest.param(
            ENDPOINT + "[metrics]\npath = '/token'", ["metrics.path '/token'"], id="taken"
        ),
        pytest.param("[metrics]\ndirectory = 'no'", ["metrics.directory", "folder"], id="folder"),
        pytest.param("[health]", ["health.path: is missing"], id="no health"),
        pytest.param("[health]\npath = '/h*'", ["health.path '/h*' must be one"], id="health"),
        pytest.param(
            ENDPOINT + "[health]\npath = '/h'\nlive_path = '/token'",
            ["health.live_path: path '/token' is taken"],
            id="taken by logins",
        ),
        pytest.param("[environ]\nREMOTE_USER = 'a'", ["environ: REMOTE_USER: must"], id="key"),
        pytest.param("[environ]\nHTTP_X_A = 1", ["environ.HTTP_X_A: must be"], id="claim"),
        pytest.param("environ = 1", ["environ: must be a table"], id="no table"),
        pytest.param(
            "[request]\ntrusted_proxies = 17", ["request.trusted_proxies must"], id="proxies"
        ),
        pytest.param("[serve]\nworker = 1", ["serve.worker: ", "workers?"], id="serve"),
    ],
)
def test_mistakes_are_one_line(folder: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        wrap(write(folder, text), app)
    assert_one_line(refused.value, parts)


def test_environ_is_of_the_own_issuer(folder: Path) -> None:
    (folder / "jwks.json").write_text(jwks(TRUSTED_KEY))
    (folder / "jwt.toml").write_text("[environ]\nHTTP_X_A = 'sub'\n" + TRUSTED_FILE)
    with pytest.raises(ConfigurationError, match=r"environ = \{ … \} below \[\[trusted\]\]"):
        load(folder / "jwt.toml").protect(app)
