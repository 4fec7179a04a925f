"""Ordinary OAuth clients, over real sockets: requests-oauthlib and Authlib."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.integrations.requests_client import OAuthError
from authlib.oauth2.rfc6749 import ResourceProtector
from authlib.oauth2.rfc6750.errors import InvalidTokenError
from authlib.oauth2.rfc7662 import IntrospectTokenValidator
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc.jwk import KeySet as JoseKeySet
from oauthlib.oauth2 import (
    BackendApplicationClient,
    InvalidClientError,
    InvalidGrantError,
    InvalidScopeError,
    LegacyApplicationClient,
    OAuth2Error,
)
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session
from werkzeug.serving import WSGIRequestHandler, make_server

from jwt_middleware import JWTMiddleware, Key, KeySet, TokenEndpoint, TokenIssuer, TokenVerifier
from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.sessions import MemorySessions, Sessions

from .oauth_site import CLIENT_ID, CONFIG, serving
from .oauth_site import CLIENT_SECRET as SECRET

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PASSWORD = "correct horse battery"
# Whatever has a meaning in a URL, a form, a header or a %-triplet.  Not more than ASCII: requests
# and Authlib write Basic in Latin-1, where RFC 6749 has UTF-8.
CLIENT_SECRET = "a+b/c%20d=e:f&g h?"


class Server(NamedTuple):
    """Where it listens, and the path of its endpoint."""

    url: str

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    def get(self, access_token: str) -> int:
        headers = {"Authorization": f"Bearer {access_token}"}
        return requests.get(f"{self.url}/", headers=headers, timeout=60).status_code

    def log_in(self) -> dict[str, Any]:
        """Log in as a person does, by the form: OAuth has no better way (RFC 9700 §2.4)."""
        body = {"account": "ann@x", "secret": PASSWORD, "type": "email"}
        answer = requests.post(self.token_url, json=body, timeout=60)
        assert answer.status_code == 200
        token: dict[str, Any] = answer.json()
        return token


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  Werkzeug's name
        pass


def whoami(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REMOTE_USER"].encode()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("oauth")
    hasher = SecretHasher(time_cost=1, memory_cost_kib=8)
    accounts = SQLAccounts(f"sqlite:///{folder / 'a.db'}", hasher=hasher, min_secret_chars=1)
    accounts.create_schema()
    accounts.add("email", "ann@x", PASSWORD, scope="read write")
    accounts.add("service", "billing+1", CLIENT_SECRET, scope="read write")
    accounts.add("service", "caf\u00e9", "s\u00e9cret caf\u00e9")
    common: dict[str, Any] = {
        "keys": KeySet([Key.generate("HS256")]),
        "issuer": "https://auth.example.com",
        "audience": "api",
    }
    issuer = TokenIssuer(**common)
    sessions = Sessions(store=MemorySessions(), issuer=issuer)
    verifier = TokenVerifier(**common, is_revoked=sessions.revocations)
    endpoint = TokenEndpoint(
        issuer=issuer,
        verifiers={one: accounts.verifier(one) for one in ("email", "service")},
        lookups={one: accounts.lookup(one) for one in ("email", "service")},
        sessions=sessions,
        verifier=verifier,
    )
    app = JWTMiddleware(whoami, verifier=verifier, endpoint=endpoint)
    serving = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield Server(f"http://127.0.0.1:{serving.server_port}")
    serving.shutdown()
    thread.join(timeout=60)
    serving.server_close()
    accounts.close()


@pytest.fixture(autouse=True)
def _without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


# requests-oauthlib


@pytest.mark.parametrize("in_body", [True, False], ids=["body", "basic"])
def test_requests_oauthlib_client_credentials(
    in_body: bool,  # noqa: FBT001
    server: Server,
) -> None:
    client = BackendApplicationClient(client_id="billing+1", scope="read")
    with OAuth2Session(client=client) as session:
        how: dict[str, Any] = (
            {"include_client_id": True, "client_secret": CLIENT_SECRET}
            if in_body
            else {"auth": HTTPBasicAuth("billing+1", CLIENT_SECRET)}
        )
        token = session.fetch_token(server.token_url, **how)
        assert token["scope"] == ["read"]
        assert "refresh_token" not in token
        assert session.get(f"{server.url}/").text == "2"


def test_requests_oauthlib_errors_are_its_own(server: Server) -> None:
    for scope, secret, error in (
        ("read", "wrong", InvalidClientError),
        ("admin", CLIENT_SECRET, InvalidScopeError),
    ):
        client = BackendApplicationClient(client_id="billing+1", scope=scope)
        with OAuth2Session(client=client) as session, pytest.raises(error):
            session.fetch_token(server.token_url, client_secret=secret, include_client_id=True)


def test_requests_oauthlib_refreshes_by_itself(server: Server) -> None:
    saved: list[dict[str, Any]] = []
    token = server.log_in()
    expired = {**token, "expires_in": -1}
    with OAuth2Session(
        client=LegacyApplicationClient(client_id="app"),
        token=expired,
        auto_refresh_url=server.token_url,
        token_updater=saved.append,
    ) as session:
        assert session.get(f"{server.url}/").text == "1"
        assert len(saved) == 1
        assert saved[0]["refresh_token"] != token["refresh_token"]
        # By hand, with less scope, and as a client that says who it is.
        session.scope = ["read"]
        narrowed = session.refresh_token(
            server.token_url,
            refresh_token=saved[0]["refresh_token"],
            auth=HTTPBasicAuth("billing+1", CLIENT_SECRET),
        )
        assert narrowed["scope"] == ["read"]


def test_requests_oauthlib_learns_that_a_refresh_token_is_no_good(server: Server) -> None:
    token = server.log_in()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    requests.post(f"{server.token_url}/logout", headers=headers, timeout=60).raise_for_status()
    with (
        OAuth2Session(client_id="app", token=token) as session,
        pytest.raises(InvalidGrantError),
    ):
        session.refresh_token(server.token_url)


def test_requests_oauthlib_is_told_to_wait(server: Server) -> None:
    client = BackendApplicationClient(client_id="guessed")
    with OAuth2Session(client=client) as session:
        codes = []
        for _ in range(6):
            with pytest.raises(OAuth2Error) as caught:
                session.fetch_token(server.token_url, client_secret="wrong", include_client_id=True)
            codes.append(caught.value.error)
    assert codes == ["invalid_client"] * 5 + ["too_many_attempts"]


# Authlib


def authlib_session(method: str, **options: Any) -> AuthlibSession:
    return AuthlibSession("billing+1", CLIENT_SECRET, token_endpoint_auth_method=method, **options)


METHODS = ["client_secret_basic", "client_secret_post"]


@pytest.mark.parametrize("method", METHODS)
def test_authlib_client_credentials(method: str, server: Server) -> None:
    with authlib_session(method, scope="read") as session:
        token = session.fetch_token(server.token_url, grant_type="client_credentials")
        assert token["scope"] == "read"
        assert "refresh_token" not in token
        assert session.get(f"{server.url}/").text == "2"


@pytest.mark.parametrize("method", METHODS)
def test_authlib_errors_are_its_own(method: str, server: Server) -> None:
    with (
        authlib_session(method, scope="admin") as session,
        pytest.raises(OAuthError) as caught,
    ):
        session.fetch_token(server.token_url, grant_type="client_credentials")
    assert caught.value.error == "invalid_scope"


@pytest.mark.parametrize("method", METHODS)
def test_authlib_refreshes(method: str, server: Server) -> None:
    token = server.log_in()
    with authlib_session(method, token=token) as session:
        refreshed = session.refresh_token(server.token_url)
        assert refreshed["refresh_token"] != token["refresh_token"]
        assert session.get(f"{server.url}/").text == "1"
    expired = {**refreshed, "expires_at": 1}
    saved: list[dict[str, Any]] = []
    with authlib_session(
        method,
        token=expired,
        token_endpoint=server.token_url,
        update_token=lambda token, **_: saved.append(token),
    ) as session:
        assert session.get(f"{server.url}/").text == "1"
    assert len(saved) == 1


@pytest.mark.parametrize("method", [*METHODS, "none"])
@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
def test_authlib_revokes(kind: str, method: str, server: Server) -> None:
    token = server.log_in()
    secret = None if method == "none" else CLIENT_SECRET
    with AuthlibSession(
        "billing+1", secret, token=token, revocation_endpoint_auth_method=method
    ) as session:
        answer = session.revoke_token(
            f"{server.token_url}/revoke", token=token[kind], token_type_hint=kind
        )
    assert (answer.status_code, answer.json()) == (200, {})
    assert server.get(token["access_token"]) == 401


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
def test_authlib_introspects(kind: str, server: Server) -> None:
    token = server.log_in()
    with authlib_session("client_secret_basic") as session:

        def introspect() -> dict[str, Any]:
            answer = session.introspect_token(
                f"{server.token_url}/introspect", token=token[kind], token_type_hint=kind
            )
            assert answer.status_code == 200
            members: dict[str, Any] = answer.json()
            return members

        assert introspect().items() >= {"active": True, "sub": "1", "scope": "read write"}.items()
        session.revoke_token(f"{server.token_url}/revoke", token=token["refresh_token"])
        assert introspect() == {"active": False}


def test_authlib_takes_errors_for_errors(server: Server) -> None:
    """Authlib takes whatever holds no *error* for a token, whatever its status."""
    for options in (
        {"method": "GET"},
        {"headers": {"Content-Type": "text/plain"}},
        {"body": "grant_type=password&x=" + "x" * 70_000},
    ):
        with (
            authlib_session("client_secret_basic") as session,
            pytest.raises(OAuthError) as caught,
        ):
            session.fetch_token(server.token_url, grant_type="client_credentials", **options)
        assert caught.value.error == "invalid_request"


def test_clients_that_write_basic_in_latin_1_are_understood(server: Server) -> None:
    auth = HTTPBasicAuth("caf\u00e9", "s\u00e9cret caf\u00e9")  # requests writes it in Latin-1
    body = {"grant_type": "client_credentials"}
    answer = requests.post(server.token_url, data=body, auth=auth, timeout=10)
    assert answer.status_code == 200
    assert "scope" not in answer.json()


@pytest.mark.parametrize("charset", ["ISO-8859-1", "us-ascii"])
def test_the_charset_that_apache_announces_by_default(charset: str, server: Server) -> None:
    headers = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
    answer = requests.post(
        server.token_url,
        data="grant_type=client_credentials",
        headers=headers,
        auth=HTTPBasicAuth("billing+1", CLIENT_SECRET),
        timeout=10,
    )
    assert answer.status_code == 200


def test_authlib_does_not_accept_a_refresh_token_for_an_access_token(server: Server) -> None:
    class Validator(IntrospectTokenValidator):  # type: ignore[misc]  # Authlib ships no types
        def introspect_token(self, token_string: str) -> Any:
            return requests.post(
                f"{server.token_url}/introspect",
                data={"token": token_string},
                auth=HTTPBasicAuth("billing+1", CLIENT_SECRET),
                timeout=10,
            ).json()

    protector, token = ResourceProtector(), server.log_in()
    protector.register_token_validator(Validator())

    def ask(token: str) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        request = SimpleNamespace(headers=headers, uri=server.url, method="GET")
        validator, token_string = protector.parse_request_authorization(request)
        found = validator.authenticate_token(token_string)
        validator.validate_token(found, ["read"], request)
        return found

    assert ask(token["access_token"])["sub"] == "1"
    with pytest.raises(InvalidTokenError):
        ask(token["refresh_token"])


def test_authlib_s_validator_of_rfc_9068_accepts_tokens_with_a_client(tmp_path: Path) -> None:
    with serving(tmp_path) as url:
        jwks = requests.get(f"{url}/.well-known/jwks.json", timeout=10).json()

        class Validator(JWTBearerTokenValidator):  # type: ignore[misc]  # Authlib ships no types
            def get_jwks(self) -> Any:
                return JoseKeySet.import_key_set(jwks)

        login = {"account": "ann@example.com", "secret": PASSWORD, "type": "email"}
        validator, tokens = Validator(url, "api"), []
        for client in ({"client_id": "web"}, {}):
            answer = requests.post(f"{url}/token", json={**login, **client}, timeout=10)
            tokens.append(answer.json()["access_token"])
    named, unnamed = map(validator.authenticate_token, tokens)
    validator.validate_token(named, ["read"], None)
    assert named["client_id"] == "web"
    with pytest.raises(InvalidTokenError):  # says JWT, as it has no client_id
        validator.validate_token(unnamed, ["read"], None)


TOOLKIT = """
import sys
from types import SimpleNamespace
import django
from django.conf import settings

url, client_id, secret, *tokens = sys.argv[1:]
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    USE_TZ=True,
    OAUTH2_PROVIDER={
        "RESOURCE_SERVER_INTROSPECTION_URL": url,
        "RESOURCE_SERVER_INTROSPECTION_CREDENTIALS": (client_id, secret),
    },
)
django.setup()
from django.core.management import call_command
from oauth2_provider.oauth2_validators import OAuth2Validator

call_command("migrate", verbosity=0)
for token in tokens:
    request = SimpleNamespace(uri="https://api.example.com/things")
    print(OAuth2Validator().validate_bearer_token(token, ["read"], request))
"""


@pytest.mark.slow
def test_django_oauth_toolkit_does_not_accept_a_refresh_token(tmp_path: Path) -> None:
    pytest.importorskip("oauth2_provider", reason="needs django-oauth-toolkit")
    audience = "https://api.example.com/"  # it compares aud with the URL of the request
    with serving(tmp_path, CONFIG.replace('"api"', f'"{audience}"')) as url:
        login = {"account": "ann@example.com", "secret": PASSWORD, "type": "email"}
        token = requests.post(f"{url}/token", json=login, timeout=10).json()
        tokens = [token["access_token"], *[token["refresh_token"]] * 3]
        run = subprocess.run(
            [sys.executable, "-c", TOOLKIT, f"{url}/token/introspect", CLIENT_ID, SECRET, *tokens],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert run.stdout.split() == ["True", "False", "False", "False"], run.stderr
