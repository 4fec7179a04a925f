"""The Python examples of README.md and docs/, run as they stand there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from webtest import TestApp

from jwt_middleware import (
    JWTMiddleware,
    JWTPayload,
    Key,
    KeySet,
    TokenEndpoint,
    TokenIssuer,
    TokenVerifier,
    generate_token,
    verify_token,
)
from jwt_middleware.errors import BadCredentialsError

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    found
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    # Those are run by tests/frameworks and tests/testing.
    if "frameworks" not in file.relative_to(ROOT).as_posix() and file.name != "testing.md"
    for found in re.findall(
        r"^(?P<before>[^\n]*)\n\n```python\n(?P<code>.*?)^```",
        file.read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
]
SECRET = "at least 32 bytes: read yours from a file"


def example(starting: str) -> str:
    """Return the code after the line that begins so, be it text or heading."""
    (code,) = [code for before, code in EXAMPLES if before.startswith(starting)]
    return str(code)


def not_found(environ: Any, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b""]


def run(code: str, **given: Any) -> dict[str, Any]:
    namespace = {"secret": SECRET, "app": not_found, "__name__": __name__, **given}
    exec(compile(code, "README.md", "exec"), namespace)  # noqa: S102  our own text
    return namespace


def first_example() -> dict[str, Any]:
    return run(example("issue tokens, at a path of its own."))


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: object) -> None: ...


def token(**payload: Any) -> tuple[str, str]:
    keys = KeySet([Key.from_secret(SECRET, kid="2026-11")])
    issuer = TokenIssuer(keys=keys, issuer="https://auth.example.com", audience="api")
    return "Bearer", issuer.issue(JWTPayload(**{"uid": 42, **payload})).token


def test_first_example_protects_every_path() -> None:
    setup = first_example()
    app = TestApp(setup["app"])
    app.get("/", status=401)
    app.authorization = token()
    assert app.get("/").text == "Hello, 42"


def test_app_of_ones_own_logs_in_and_checks_scopes() -> None:
    app = TestApp(run(example("## Issue tokens to your own users"))["app"])
    login = {"account": "ann@example.com", "secret": "correct horse", "type": "email"}
    app.get("/health", status=404)
    app.get("/news/today", status=404)
    app.post("/news/today", status=401)
    app.post_json("/token", {**login, "secret": "battery staple"}, status=401)
    app.authorization = ("Bearer", app.post_json("/token", login).json["access_token"])
    app.get("/", status=404)
    app.get("/admin/users", status=403)


def test_sessions_are_refreshed_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"issuer": "https://auth.example.com", "audience": "api"}
    found = run(example("In Python:"), names=names, keys=first_example()["keys"])
    site, accounts = TestApp(found["app"]), found["accounts"]
    accounts.add("email", "ann@example.com", "correct horse")
    login = {"account": "ann@example.com", "secret": "correct horse", "type": "email"}
    answer = site.post_json("/token", login).json
    refresh = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    site.authorization = ("Bearer", site.post("/token", refresh).json["access_token"])
    site.get("/", status=404)
    site.post("/token/logout", status=204)
    site.get("/", status=401)
    accounts.close()
    found["store"].close()


def test_any_app_can_be_read_by_a_named_origin() -> None:
    site = TestApp(run(example("With Python code"), verifier=first_example()["verifier"])["app"])
    asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "PUT"}
    site.options("/api/me", headers=asked, status=204)
    for status in (401, 404):
        answer = site.get("/api/me", headers=asked, status=status)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
        site.authorization = token()


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the URL of a server that the service "billing" can log in to."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")

    def verify(account: str, secret: str) -> dict[str, object]:
        if (account, secret) != ("billing", SECRET):
            raise BadCredentialsError
        return {"uid": 7}

    setup = first_example()
    issuer = TokenIssuer(keys=setup["keys"], issuer="https://auth.example.com", audience="api")
    endpoint = TokenEndpoint(issuer=issuer, verifiers={"service": verify})
    app = JWTMiddleware(not_found, verifier=setup["verifier"], endpoint=endpoint)
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_oauth_client_gets_its_token(url: str) -> None:
    code = example("A request with a `grant_type`")
    client = run(re.sub(r"^client\.get", "answer = client.get", code, flags=re.MULTILINE), url=url)
    assert client["answer"].status_code == 404  # of the app, which has no invoices: not a 401
    client["client"].close()


def test_core_works_without_http() -> None:
    setup = first_example()
    code = example("The core knows nothing of HTTP")
    checked = re.sub(r"^(verif.*\[\"uid\"\])  # 42$", r"assert \1 == 42", code, flags=re.MULTILINE)
    assert checked.count("assert") == 2
    run(checked, keys=setup["keys"], verifier=setup["verifier"])


def test_verifiers_and_forms_of_ones_own_are_taken() -> None:
    claimed = run(example("An account verifier returns them"))
    formed = run(example("The verifier gets the further fields"))
    keys = first_example()["keys"]
    issuer = TokenIssuer(keys=keys, issuer="https://auth.example.com", audience="api")
    endpoint = TokenEndpoint(
        issuer=issuer,
        verifiers={"email": claimed["verify"], "ldap": lambda *_, code: {"uid": code}},
        subjects={"email": "{uid}", "ldap": "ldap:{uid}"},
        forms={"ldap": formed["OneTimeCodeForm"]},
    )
    site, verifier = (
        TestApp(endpoint),
        TokenVerifier(keys=keys, issuer="https://auth.example.com", audience="api"),
    )
    login = {"account": "ann@example.com", "secret": "correct horse battery", "type": "email"}
    token = site.post_json("/token", login).json["access_token"]
    assert verifier.verify(token).claims["plan"] == {"seats": 5}
    site.post_json("/token", {**login, "type": "ldap"}, status=400)
    token = site.post_json("/token", {**login, "type": "ldap", "code": "123"}).json["access_token"]
    assert verifier.verify(token).claims["sub"] == "ldap:123"


def test_a_payload_may_be_a_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JWT_MIDDLEWARE_CONFIG", raising=False)
    names = {"generate_token": generate_token, "verify_token": verify_token}
    code = example("the app and the endpoint accept").replace(
        "verify_token(token", "shown = verify_token(token"
    )
    assert run(code, **names)["shown"] == "Ann"


def test_every_python_example_is_run_here() -> None:
    befores = [before.split()[0] for before, _ in EXAMPLES]
    # That of events.md is run in test_service_docs.py.
    assert befores == [
        "issue",
        "##",
        "The",
        "With",
        "`[logging]",
        "A",
        "In",
        "An",
        "The",
        "the",
    ]


def test_verifier_of_the_readme_is_a_token_verifier() -> None:
    assert isinstance(first_example()["verifier"], TokenVerifier)
