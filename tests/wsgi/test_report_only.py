from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from webtest import TestApp

from jwt_middleware import (
    JWTMiddleware,
    KeySet,
    Policy,
    Rule,
    TokenVerifier,
    UnavailableError,
    events,
)
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.events import Event, Name
from jwt_middleware.wsgi.environ import ERROR

from ..service import NOW, show_identity

Bearer = Callable[..., dict[str, str]]


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    got: list[Event] = []

    def hear(event: Event) -> None:
        if event.name is not Name.TOKEN_ISSUED:  # of the tokens that tests send
            got.append(event)

    remove = events.listen(hear)
    yield got
    remove()


def reporting(verifier: TokenVerifier, *rules: Rule, mode: str = "report") -> TestApp:
    app = JWTMiddleware(
        show_identity,
        verifier=verifier,
        policy=Policy(rules),
        mode=mode,  # type: ignore[arg-type]
    )
    return TestApp(app)


class TestReportOnly:
    @pytest.mark.parametrize(
        ("headers", "reason"),
        [
            pytest.param({}, "missing_token", id="none"),
            pytest.param({"Authorization": "Bearer a.b.c"}, "malformed_token", id="bad"),
            pytest.param({"Authorization": "Bearer a b"}, "invalid_request", id="two"),
        ],
    )
    def test_lets_a_bad_request_through_without_an_identity(
        self, verifier: TokenVerifier, heard: list[Event], headers: dict[str, str], reason: str
    ) -> None:
        app = reporting(verifier)
        answer = app.get("/x", headers={**headers, "Remote-User": "admin"})
        assert answer.json == {ERROR: reason}
        [event] = heard
        assert (event.name, event.fields["reason"]) == (Name.REQUEST_REPORTED, reason)
        assert (event.fields["method"], event.fields["path"]) == ("GET", "/x")

    def test_publishes_who_has_a_good_token_that_lacks_a_scope(
        self, verifier: TokenVerifier, bearer: Bearer, heard: list[Event]
    ) -> None:
        app = reporting(verifier, Rule("/admin/*", scopes=["admin"]))
        answer = app.get("/admin/x", headers=bearer(scope="read"))
        assert answer.json[ERROR] == "insufficient_scope"
        assert answer.json["REMOTE_USER"]
        [event] = heard
        assert event.fields["rule"] == "/admin/*"
        assert event.fields["sub"] == answer.json["REMOTE_USER"]

    def test_of_a_rule_leaves_others_as_they_are(
        self, verifier: TokenVerifier, heard: list[Event]
    ) -> None:
        app = reporting(verifier, Rule("/trial/*", mode="report"), mode="enforce")
        app.get("/trial/x", status=200)
        app.get("/other", status=401)
        assert [one.name for one in heard] == [Name.REQUEST_REPORTED, Name.REQUEST_REFUSED]

    def test_joined_with_a_rule_that_enforces_it_enforces(self, verifier: TokenVerifier) -> None:
        app = reporting(verifier, Rule("/trial/*", mode="report"), Rule("/admin/*"), mode="enforce")
        app.get("/trial/x", status=200)
        app.get("/trial/..%2fadmin", status=401)
        app.get("/trial/x", headers={"X-Original-URL": "/admin"}, status=401)

    def test_lets_through_what_is_unavailable(self, keys: KeySet, bearer: Bearer) -> None:
        def is_revoked(claims: object) -> bool:
            raise UnavailableError("down")

        verifier = TokenVerifier(
            keys=keys, issuer="https://auth", audience="api", is_revoked=is_revoked,
            clock=lambda: NOW,
        )  # fmt: skip
        answer = reporting(verifier).get("/", headers=bearer())
        assert answer.json == {ERROR: "temporarily_unavailable"}

    def test_is_told_at_the_start(
        self, verifier: TokenVerifier, caplog: pytest.LogCaptureFixture
    ) -> None:
        reporting(verifier, Rule("/trial/*", mode="report"))
        assert "mode is report: no request is refused" in caplog.text
        assert "rule '/trial/*': mode is report" in caplog.text

    def test_is_spelled_right(self, verifier: TokenVerifier) -> None:
        with pytest.raises(ConfigurationError, match='mode must be "enforce" or "report"'):
            reporting(verifier, mode="reports")
        with pytest.raises(ConfigurationError, match="rule '/': mode must be"):
            Rule("/", mode="off")  # type: ignore[arg-type]


class TestEvents:
    def test_an_allowed_request_says_whose_it_is(
        self, verifier: TokenVerifier, bearer: Bearer, heard: list[Event]
    ) -> None:
        reporting(verifier, Rule("/a", scopes=["read"]), mode="enforce").get(
            "/a?token=x", headers=bearer(scope="read")
        )
        [event] = [one for one in heard if one.name is Name.REQUEST_ALLOWED]
        assert event.fields["path"] == "/a"
        assert event.fields["rule"] == "/a"
        assert {"issuer", "kid", "sub", "jti"} <= set(event.fields)

    def test_no_event_holds_the_token(
        self, verifier: TokenVerifier, bearer: Bearer, heard: list[Event]
    ) -> None:
        headers = bearer(scope="read")
        token = headers["Authorization"].removeprefix("Bearer ")
        app = reporting(verifier, Rule("/a", scopes=["admin"]), mode="enforce")
        app.get("/a", headers=headers, status=403)
        app.get("/b", headers={"Authorization": f"Bearer {token[:-2]}"}, status=401)
        app.get("/b", headers=headers)
        assert len(heard) >= 3
        for event in heard:
            assert not any(part in str(event) for part in token.split("."))


class TestFactory:
    def test_that_was_not_called_is_found_at_the_first_request(
        self, verifier: TokenVerifier, bearer: Bearer, heard: list[Event]
    ) -> None:
        def create_app(config: object = None, testing: object = None) -> object:
            return show_identity

        app = TestApp(JWTMiddleware(create_app, verifier=verifier), lint=False)  # type: ignore[arg-type]
        for _ in range(2):
            app.get("/", headers=bearer(), status=503)
        [event, _] = [one for one in heard if one.name is Name.REQUEST_UNAVAILABLE]
        assert "module:create_app()" in str(event.fields["detail"])
