"""
The project of docs/frameworks/django.md under test.

It runs in a process of its own: Django has one configuration a process.  test_django.py makes the
project, and calls this with it as the working directory.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import authenticate, login
from django.contrib.auth.models import Permission, User
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIRequest
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.test import Client as DjangoClient
from django.test import override_settings
from django.test.utils import setup_test_environment
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_control, cache_page
from shop import backends, urls  # type: ignore[import-not-found]  # of the page
from shop.accounts import accounts  # type: ignore[import-not-found]
from shop.wsgi import application  # type: ignore[import-not-found]
from webtest import TestApp as BareApp

from jwt_middleware import (
    BadCredentialsError,
    JWTMiddleware,
    Key,
    KeySet,
    Policy,
    Rule,
    TokenIssuer,
    TokenVerifier,
    TrustedIssuer,
)
from jwt_middleware.django import TokenMiddleware, find_user, require_scopes
from jwt_middleware.testing import BadToken, TestApp, Tokens, frozen
from jwt_middleware.testing.django import Client
from jwt_middleware.wsgi.environ import ClaimKeys

FORGED = {"HTTP_REMOTE_USER": "1", "REMOTE_USER": "1", "AUTH_TYPE": "Bearer"}
PASSWORD = "correct horse"
NUMBERS = count()
PARTNER = "https://partner.example"


async def whoami(request: HttpRequest) -> JsonResponse:
    user = await request.auser()
    return JsonResponse({"sync": request.user.get_username(), "async": user.get_username()})


@require_scopes("reports:read")
async def async_reports(request: HttpRequest) -> JsonResponse:
    return await whoami(request)


class AsyncReports(View):  # type: ignore[misc]
    @method_decorator(require_scopes("reports:read"))  # type: ignore[untyped-decorator]
    async def get(self, request: HttpRequest) -> JsonResponse:
        return await whoami(request)


def begin_session(request: HttpRequest) -> JsonResponse:
    user = authenticate(request)
    login(request, user)
    return JsonResponse({"name": user.get_username()})


def session_user(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"name": request.user.get_username()})


def for_everyone(request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


urls.urlpatterns += [
    path("cached", cache_page(60)(require_scopes()(session_user))),
    path("open/public", cache_control(public=True)(for_everyone)),
    path("whoami", whoami),
    path("async", async_reports),
    path("async-class", AsyncReports.as_view()),
    path("open/begin", begin_session),
    path("open/user", session_user),
]


@pytest.fixture(scope="session", autouse=True)
def _environment() -> None:
    setup_test_environment()  # as "manage.py test" does
    call_command("migrate", verbosity=0)


@pytest.fixture
def ann() -> Any:
    return User.objects.create_user(f"ann{next(NUMBERS)}", password=PASSWORD)


@pytest.fixture
def client() -> TestApp:
    return TestApp(application)


def opened(**parts: Any) -> JWTMiddleware:
    """Return the project behind other parts than those of its jwt.toml."""
    keys = KeySet([Key.generate()])
    given = {"issuer": "https://auth.example.com", "audience": "shop"}
    rules = [Rule("/open/*", access="public")]
    return JWTMiddleware(
        get_wsgi_application(),
        verifier=TokenVerifier(keys=keys, **given, **parts),  # type: ignore[arg-type]
        policy=Policy(rules),
    )


def test_a_login_by_password_gives_the_scopes_of_the_user(client: TestApp, ann: Any) -> None:
    name = ann.get_username()
    before = client.log_in(name, PASSWORD, "username")
    assert before.get("/account").json == {"name": name}
    BadToken.UNDER_SCOPED.check(before.get("/reports", status=403))
    ann.user_permissions.add(Permission.objects.get(codename="view_user"))
    after = client.log_in(name, PASSWORD, "username")
    assert after.get("/reports").json == {"reports": []}
    assert after.get("/me").json["sub"] == str(ann.pk)


@pytest.mark.parametrize("account", ["nobody", "", "x" * 300, "ann\0"])
def test_a_login_of_no_user_is_refused(client: TestApp, account: str) -> None:
    login = {"account": account, "secret": PASSWORD, "type": "username"}
    assert client.post_json("/token", login, expect_errors=True).status_int in (400, 401)


def test_an_inactive_user_is_refused_everywhere(client: TestApp, ann: Any) -> None:
    name = ann.get_username()
    with_token = client.as_account(ann.pk)
    with_token.get("/account")
    ann.is_active = False
    ann.save()
    answer = with_token.get("/account", status=401)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    with (
        override_settings(
            AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.AllowAllUsersModelBackend"]
        ),
        pytest.raises(BadCredentialsError),
    ):
        accounts.verify(name, PASSWORD)
    assert accounts.look_up(ann.pk) is None
    ann.delete()
    with_token.get("/account", status=401)


def test_no_user_is_created_and_no_other_is_found(client: TestApp, ann: Any) -> None:
    number = User.objects.count()
    pk = str(ann.pk)
    others = [
        f"0{pk}", f"{pk}.0", f" {pk}", f"{pk} ", f"+{pk}", f"{pk}_0", "".join(
            chr(ord("０") + int(digit)) for digit in pk
        ), ann.get_username(), "-1", "None", "True", "9" * 30, "9" * 5000, "1e0", "é", "' OR 1=1 --"
    ]  # fmt: skip
    for other in others:
        if len(other) < 4000:  # longer ones are in no token
            client.as_account(other).get("/account", status=401)
        assert find_user("pk", other) is None
    assert User.objects.count() == number


def test_names_are_found_exactly(ann: Any) -> None:
    name = ann.get_username()
    with override_settings(AUTHENTICATION_BACKENDS=["shop.backends.UsersByName"]):
        client = TestApp(opened())
        assert client.as_account(name).get("/account").json == {"name": name}
        for other in (name.upper(), str(ann.pk), name + " ", "x"):
            client.as_account(other).get("/account", status=401)


def test_a_field_that_two_users_have_finds_neither() -> None:
    for _ in range(2):
        User.objects.create_user(f"two{next(NUMBERS)}", email="two@example.com")
    assert find_user("email", "two@example.com") is None
    assert find_user("email", "") is None


def partner(remote_user: str | None) -> tuple[JWTMiddleware, TokenIssuer]:
    keys = KeySet([Key.generate("ES256")])
    trusted = TrustedIssuer(issuer=PARTNER, audience="shop", keys=keys, remote_user=remote_user)
    return opened(trusted=[trusted]), TokenIssuer(keys=keys, issuer=PARTNER, audience="shop")


def test_the_subject_of_another_issuer_is_no_user(ann: Any) -> None:
    app, issuer = partner(None)
    theirs = TestApp(app, issuer=issuer).as_account(ann.pk)
    assert theirs.get("/account").json == {"name": ""}, "anonymous, with their claims"
    assert theirs.get("/me").json["iss"] == PARTNER
    app, issuer = partner("partner:{sub}")
    TestApp(app, issuer=issuer).as_account(ann.pk).get("/account", status=401)
    assert TestApp(app).as_account(ann.pk).get("/account").json == {"name": ann.get_username()}


def test_a_claim_counts_of_one_issuer_alone(ann: Any) -> None:
    ann.email = f"{ann.get_username()}@example.com"
    ann.save()
    app, issuer = partner(None)
    with override_settings(AUTHENTICATION_BACKENDS=["shop.backends.UsersByEmail"]):
        app.app = get_wsgi_application()
        for claims in ({"email": ann.email}, {"email": [ann.email]}, {}):
            theirs = TestApp(app, issuer=issuer).as_account(1, claims=claims)
            assert theirs.get("/account").json == {"name": ""}
    backends.UsersByEmail.issuer, before = PARTNER, backends.UsersByEmail.issuer
    try:
        with override_settings(AUTHENTICATION_BACKENDS=["shop.backends.UsersByEmail"]):
            app.app = get_wsgi_application()
            theirs = TestApp(app, issuer=issuer)
            found = theirs.as_account(1, claims={"email": ann.email})
            assert found.get("/account").json == {"name": ann.get_username()}
            theirs.as_account(1, claims={"email": ann.email.upper()}).get("/account", status=401)
            assert theirs.as_account(1, claims={"email": 1}).get("/account").json == {"name": ""}
    finally:
        backends.UsersByEmail.issuer = before
    with pytest.raises(ImproperlyConfigured, match="claim and issuer"):
        type("Half", (backends.UsersByName,), {"claim": "email"})()


def test_a_token_leaves_no_cookie_and_its_user_does_not_outlive_it(ann: Any) -> None:
    ann.is_staff = ann.is_superuser = True
    ann.save()
    app = opened()
    with frozen(app) as clock:
        client = TestApp(app).as_account(ann.pk)
        for page in ("/account", "/admin/", "/admin/auth/user/"):
            client.get(page, status=200)
        assert client.get("/open/user").json == {"name": ann.get_username()}
        assert "sessionid" not in client.cookies
        clock.shift(7200)
        client.get("/account", status=401)
        client.authorization = None
        assert client.get("/open/user").json == {"name": ""}


def test_a_session_that_a_view_begins_for_a_token_is_nobodys(ann: Any) -> None:
    client = TestApp(opened()).as_account(ann.pk)
    assert client.get("/open/begin").json == {"name": ann.get_username()}
    assert client.cookies["sessionid"]
    client.authorization = None
    assert client.get("/open/user").json == {"name": ""}


def test_a_token_counts_more_than_a_session(ann: Any) -> None:
    bob = User.objects.create_user(f"bob{next(NUMBERS)}")
    browser = DjangoClient()
    browser.force_login(bob, backend="django.contrib.auth.backends.ModelBackend")
    client = TestApp(opened()).as_account(ann.pk)
    client.set_cookie("sessionid", browser.cookies["sessionid"].value)
    name = ann.get_username()
    assert client.get("/whoami").json == {"sync": name, "async": name}
    app, issuer = partner(None)
    theirs = TestApp(app, issuer=issuer).as_account(bob.pk)
    theirs.set_cookie("sessionid", browser.cookies["sessionid"].value)
    assert theirs.get("/whoami").json == {"sync": "", "async": ""}


@pytest.mark.parametrize("path", ["/async", "/async-class"])
def test_a_view_that_needs_a_scope_may_be_async(client: TestApp, ann: Any, path: str) -> None:
    allowed = client.as_account(ann.pk, scope="reports:read").get(path)
    assert allowed.json["async"] == ann.get_username()
    assert allowed.headers["Cache-Control"] == "private"
    refused = client.as_account(ann.pk).get(path, status=403)
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize("keeps_authorization", [True, False])
def test_no_cache_of_the_project_mixes_users(ann: Any, keeps_authorization: bool) -> None:  # noqa: FBT001
    bob = User.objects.create_user(f"bob{next(NUMBERS)}")
    update, fetch = (
        f"django.middleware.cache.{one}CacheMiddleware" for one in ("Update", "FetchFrom")
    )
    by_site = [update, *settings.MIDDLEWARE, fetch]
    for middleware, page in ((by_site, "/open/user"), (settings.MIDDLEWARE, "/cached")):
        with override_settings(MIDDLEWARE=middleware):
            app = opened()
            app.claim_keys = ClaimKeys(keeps_authorization=keeps_authorization)
            client = TestApp(app)
            seen = [client.as_account(user.pk).get(page) for user in (ann, bob, ann)]
        assert [answer.json["name"] for answer in seen] == [
            user.get_username() for user in (ann, bob, ann)
        ]
        assert all("private" in answer.headers["Cache-Control"] for answer in seen)
        client.get("/cached", status=401)
    assert client.get("/open/user").json == {"name": ""}
    answer = TestApp(opened()).as_account(ann.pk).get("/open/public")
    assert "private" not in answer.headers["Cache-Control"]


def test_admin_and_static_files_work(client: TestApp, ann: Any) -> None:
    client.get("/admin/", status=401)
    assert client.as_account(ann.pk).get("/admin/", status=302).location.startswith("/admin/login/")
    ann.is_staff = ann.is_superuser = True
    ann.save()
    admin = client.as_account(ann.pk)
    page = admin.get(f"/admin/auth/user/{ann.pk}/change/")
    form = page.forms["user_form"]
    form["first_name"] = "Ann"
    form.submit(status=302)
    ann.refresh_from_db()
    assert ann.first_name == "Ann"
    for served in (StaticFilesHandler(application), copy_with(StaticFilesHandler)):
        answer = BareApp(served).get("/static/admin/css/base.css")
        assert answer.content_type == "text/css"


def copy_with(handler: Any) -> JWTMiddleware:
    given = Tokens(application).middleware
    return JWTMiddleware(
        handler(get_wsgi_application()), verifier=given.verifier, policy=given.policy
    )


def test_without_the_middleware_there_is_no_user_and_no_scope(ann: Any) -> None:
    bare = BareApp(get_wsgi_application())
    for page in ("/me", "/reports", "/account"):
        bare.get(page, extra_environ={**FORGED, "HTTP_AUTHORIZATION": "Bearer x"}, status=401)
    assert bare.get("/open/user", extra_environ=FORGED).json == {"name": ""}
    for forged in ("1", '{"sub": "1"}', ["sub"]):
        environ = {"jwt_middleware.claims": forged, "REMOTE_USER": str(ann.pk)}
        request = WSGIRequest(DjangoClient()._base_environ() | environ)
        assert authenticate(request) is None
    assert authenticate(None) is None


def test_a_changed_password_ends_refreshes(client: TestApp, ann: Any) -> None:
    login = {"account": ann.get_username(), "secret": PASSWORD, "type": "username"}
    for change in (lambda: ann.set_password("another"), lambda: setattr(ann, "is_active", False)):
        tokens = client.post_json("/token", login).json
        refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        refresh["refresh_token"] = client.post("/token", refresh).json["refresh_token"]
        change()
        ann.save()
        assert client.post("/token", refresh, status=400).json["error"] == "invalid_grant"
        ann.set_password(PASSWORD)
        ann.save()


def test_connections_are_closed_outside_of_a_request(ann: Any) -> None:
    open_after: list[Any] = []

    def log_in() -> None:
        accounts.verify(ann.get_username(), PASSWORD)
        open_after.append(connection.connection)
        assert accounts.look_up(ann.pk) is not None
        open_after.append(connection.connection)
        with pytest.raises(BadCredentialsError):
            accounts.verify(ann.get_username(), "wrong")
        open_after.append(connection.connection)

    thread = Thread(target=log_in)
    thread.start()
    thread.join()
    assert open_after == [None, None, None]


def test_a_database_that_is_down_is_answered_503(
    client: TestApp, ann: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_token = client.as_account(ann.pk)
    login = {"account": ann.get_username(), "secret": PASSWORD, "type": "username"}
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "NAME", tmp_path / "none" / "db.sqlite3")
    assert with_token.get("/account", status=503).headers["Retry-After"]
    client.post_json("/token", login, status=503)


def test_a_mistake_in_the_settings_is_found_at_start() -> None:
    with (
        override_settings(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend"]),
        pytest.raises(ImproperlyConfigured, match="no TokenBackend"),
    ):
        TokenMiddleware(lambda request: JsonResponse({}))
    with (
        override_settings(MIDDLEWARE=settings.MIDDLEWARE[::-1]),
        pytest.raises(ImproperlyConfigured, match="must come after"),
    ):
        get_wsgi_application()
    with override_settings(MIDDLEWARE=["jwt_middleware.django.TokenMiddleware"]):
        bare = BareApp(get_wsgi_application())
        assert bare.get("/open/user").json == {"name": ""}


class TestClient:
    def test_passes_through_the_middleware(self, ann: Any) -> None:
        client = Client(application)
        answer = client.get("/account")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        known = client.as_account(ann.pk, scope="reports:read")
        assert known.get("/account").json() == {"name": ann.get_username()}
        assert known.get("/reports").wsgi_request.user == ann
        assert client.get("/account").status_code == 401

    @pytest.mark.parametrize("bad", BadToken)
    def test_sends_bad_tokens(self, bad: BadToken, ann: Any) -> None:
        client = Client(application)
        token = client.tokens.bad(bad, uid=ann.pk, scope="reports:read")
        bad.check(client.with_token(token).get("/reports"))

    def test_has_the_context_of_a_template(self, ann: Any) -> None:
        ann.is_staff = True
        ann.save()
        answer = Client(application).as_account(ann.pk).get("/admin/")
        assert answer.context["user"] == ann

    def test_reaches_the_endpoint(self, ann: Any) -> None:
        login = {"account": ann.get_username(), "secret": PASSWORD, "type": "username"}
        answer = Client(application).post("/token", login, content_type="application/json")
        token = answer.json()["access_token"]
        assert Client(application).with_token(token).get("/account").status_code == 200

    def test_checks_csrf_where_it_is_told_to(self, ann: Any) -> None:
        assert Client(application).as_account(ann.pk).post("/account").status_code == 200
        strict = Client(application, enforce_csrf_checks=True).as_account(ann.pk)
        assert strict.post("/account").status_code == 403
