from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from webtest import TestApp

from jwt_middleware import JWTMiddleware, JWTPayload, LoginThrottle, Sessions, TokenEndpoint, wrap
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.config import load
from jwt_middleware.endpoint.limits import LoginLimits
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sessions import MemorySessions, Revocations
from jwt_middleware.sessions.attempts import Drip
from jwt_middleware.sessions.store import Revocation
from jwt_middleware.sessions.stores.sql.store import SQLSessions

from ..table import table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Write = Callable[[str], Path]
Protect = Callable[[Path], JWTMiddleware]
IssueToken = Callable[[], str]

ACCOUNTS = """\
[accounts]
url = "sqlite:///accounts.db"
[accounts.hasher]
time_cost = 1
memory_cost_kib = 8
"""
ENDPOINT = "[endpoint]\n" + ACCOUNTS
MEMORY = '[sessions]\nurl = "memory://"\n'
SQLITE = '[sessions]\nurl = "sqlite:///sessions.db"\n'
VERIFIER = f'[endpoint.verifiers]\nldap = "{__name__}:verify_ldap"\n'
LDAP = VERIFIER + f'[endpoint.lookups]\nldap = "{__name__}:look_up_ldap"\n'
LOGIN = {"account": "ann@example.com", "secret": "right", "type": "email"}

# What the app's own directory says, by uid.
people: dict[int | str, dict[str, object]] = {}


def verify_ldap(account: str, secret: str) -> object:
    return {"uid": account, "scope": "read"}


def look_up_ldap(uid: int | str) -> object | None:
    return people.get(uid)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def endpoint_of(protected: JWTMiddleware) -> TokenEndpoint:
    assert isinstance(protected.endpoint, TokenEndpoint)
    return protected.endpoint


def sessions_of(protected: JWTMiddleware) -> Sessions:
    sessions = endpoint_of(protected).sessions
    assert sessions is not None
    return sessions


def refresh(site: TestApp, answer: dict[str, str], *, status: int = 200) -> dict[str, str]:
    body = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    found: dict[str, str] = site.post_json("/token", body, status=status).json
    return found


def bearer(answer: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer['access_token']}"}


@pytest.fixture
def protect() -> Iterator[Protect]:
    """Return a function that does what wrap does, and close what such apps leave open."""
    made = []

    def protect(config: Path) -> JWTMiddleware:
        made.append(wrap(config, app))
        return made[-1]

    yield protect
    for protected in made:
        revocations = protected.verifier.is_revoked
        if isinstance(revocations, Revocations):
            revocations.store.close()
        if isinstance(protected.endpoint, TokenEndpoint):
            for verify in protected.endpoint.verifiers.values():
                accounts = getattr(getattr(verify, "func", None), "__self__", None)
                if isinstance(accounts, SQLAccounts):
                    accounts.close()


def prepare(config: Path) -> None:
    """Create the store that a configuration names."""
    store = load(config).require_sessions().build_store()
    store.create_schema()
    store.close()


class TestEndpoint:
    def test_logs_in_refreshes_and_logs_out(
        self, protect: Protect, ann: SQLAccounts, write: Write
    ) -> None:
        site = TestApp(protect(write(ENDPOINT + MEMORY)))
        first = site.post_json("/token", LOGIN).json
        second = refresh(site, first)
        assert second["refresh_token"] != first["refresh_token"]
        site.get("/", headers=bearer(second), status=200)
        site.post("/token/logout", headers=bearer(second), status=204)
        for one in (first, second):
            site.get("/", headers=bearer(one), status=401)
        assert refresh(site, second, status=400)["error"] == "invalid_grant"

    def test_shares_one_object_with_the_verifier(self, protect: Protect, write: Write) -> None:
        protected = protect(write(LDAP + MEMORY))
        sessions = sessions_of(protected)
        assert protected.verifier.is_revoked is sessions.revocations
        assert endpoint_of(protected).issuer is sessions.issuer

    def test_refreshes_nothing_for_an_account_that_is_disabled(
        self, protect: Protect, ann: SQLAccounts, write: Write
    ) -> None:
        site = TestApp(protect(write(ENDPOINT + MEMORY)))
        answer = site.post_json("/token", LOGIN).json
        ann.disable("email", LOGIN["account"])
        assert refresh(site, answer, status=400)["error"] == "invalid_grant"
        site.get("/", headers=bearer(answer), status=401)

    def test_asks_a_lookup_of_the_app(self, protect: Protect, write: Write) -> None:
        site = TestApp(protect(write(LDAP + MEMORY)))
        people["bob"] = {"uid": "bob", "scope": "read"}
        login = {"account": "bob", "secret": "x", "type": "ldap"}
        answer = refresh(site, site.post_json("/token", login).json)
        del people["bob"]
        refresh(site, answer, status=400)

    def test_does_not_look_for_accounts_of_the_app_among_its_own(
        self, protect: Protect, ann: SQLAccounts, write: Write
    ) -> None:
        named = ENDPOINT.replace(
            "[accounts]",
            f'verifiers = {{ email = "{__name__}:verify_ldap" }}\n'
            'lookups = { email = "none" }\nsubjects = { email = "ldap:{uid}" }\n[accounts]',
            1,
        )
        site = TestApp(protect(write(named + MEMORY)))
        answer = site.post_json("/token", {**LOGIN, "account": "zoe"}).json
        refresh(site, answer)

    def test_without_sessions_gives_no_refresh_token_and_warns(
        self, protect: Protect, write: Write, caplog: pytest.LogCaptureFixture
    ) -> None:
        site = TestApp(protect(write(VERIFIER)))
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert "jwt.toml: logins are not limited: add a [sessions] table" in record.getMessage()
        answer = site.post_json("/token", {"account": "a", "secret": "x", "type": "ldap"}).json
        assert "refresh_token" not in answer

    def test_with_sessions_warns_of_nothing(
        self, protect: Protect, write: Write, caplog: pytest.LogCaptureFixture
    ) -> None:
        protect(write(LDAP + MEMORY))
        assert not caplog.records


class TestEverySetting:
    def test_reaches_what_it_is_for(self, protect: Protect, write: Write) -> None:
        endpoint = "[endpoint]\nlifetime_seconds = 60\nrefresh_lifetime_seconds = 600\n"
        sessions = "max_lifetime_seconds = 6000\ngrace_seconds = 2.5\nmax_delay_seconds = 0\n"
        login = (
            "[login]\nmax_per_account = 2\nmax_per_address = 0\nwindow_seconds = 9.5\n"
            "trusted_proxies = 1\n"
        )
        protected = protect(write(endpoint + LDAP + MEMORY + sessions + login))
        found = sessions_of(protected)
        lifetimes = found.lifetimes
        assert lifetimes.token_lifetime_seconds == 60
        assert lifetimes.refresh_lifetime_seconds == 600
        assert lifetimes.max_lifetime_seconds == 6000
        assert lifetimes.grace_seconds == 2.5
        assert found.revocations._max_delay_seconds == 0
        throttle = endpoint_of(protected)._logins._throttle
        assert throttle is not None
        assert throttle.limits == LoginLimits.of_window(2, 0, 9.5)
        assert throttle._store is found.store
        assert endpoint_of(protected)._logins.addresses.trusted_proxies == 1

    def test_of_limits_reaches_them(self, protect: Protect, write: Write) -> None:
        login = (
            "[login]\nknown = [1, 2]\naccount = [3, 4.5]\nleaf = [5, 6]\nnet = [7, 8]\n"
            "wide = [9, 10]\naddress = [11, 12]\nsite = [13, 14]\nknown_days = 15\n"
            'max_known = 16\ntrusted_networks = ["10.0.0.0/8"]\n'
        )
        throttle = endpoint_of(protect(write(LDAP + MEMORY + login)))._logins._throttle
        assert throttle is not None
        assert throttle.limits == LoginLimits(
            known=Drip(1, 2),
            account=Drip(3, 4.5),
            leaf=Drip(5, 6),
            net=Drip(7, 8),
            wide=Drip(9, 10),
            address=Drip(11, 12),
            site=Drip(13, 14),
            known_days=15,
            max_known=16,
            trusted_networks=("10.0.0.0/8",),
        )

    def test_of_an_earlier_version_is_warned_of(
        self, protect: Protect, write: Write, caplog: pytest.LogCaptureFixture
    ) -> None:
        protect(write(LDAP + MEMORY + "[login]\nmax_per_account = 5\n"))
        assert "5 times at once and 300 times an hour" in caplog.text

    def test_of_sessions_reaches_them(self, protect: Protect, write: Write, redis_url: str) -> None:
        sessions = f'[sessions]\nurl = "{redis_url}"\nmax_per_subject = 2\nkey_prefix = "mine"\n'
        found = sessions_of(protect(write(LDAP + sessions)))
        for _ in range(3):
            found.start(JWTPayload(uid=1, ac_type="ldap"))
        assert len([*found.store.list()]) == 2
        assert found.store._at == "{mine}"  # type: ignore[attr-defined]
        found.store.close()

    def test_has_the_default_of_python_code(self, protect: Protect, write: Write) -> None:
        protected = protect(write(LDAP + MEMORY))
        found = sessions_of(protected)
        plain = Sessions(store=MemorySessions(), issuer=found.issuer)
        assert found.lifetimes == plain.lifetimes
        assert found.revocations._max_delay_seconds == plain.revocations._max_delay_seconds
        throttle, default = endpoint_of(protected)._logins._throttle, LoginThrottle(found.store)
        assert throttle is not None
        assert throttle.limits == default.limits

    def test_limits_logins(self, protect: Protect, ann: SQLAccounts, write: Write) -> None:
        site = TestApp(protect(write(ENDPOINT + MEMORY + "[login]\nmax_per_account = 1\n")))
        site.post_json("/token", {**LOGIN, "secret": "wrong"}, status=401)
        answer = site.post_json("/token", LOGIN, status=429)
        assert 1 <= int(answer.headers["Retry-After"]) <= 60


class TestResourceServer:
    """One without an endpoint follows what is revoked elsewhere."""

    @pytest.fixture
    def revoking(
        self, protect: Protect, ann: SQLAccounts, write: Write
    ) -> tuple[TestApp, dict[str, str]]:
        """Return the issuer's app, and what it answered to a login."""
        config = write(ENDPOINT + SQLITE)
        prepare(config)
        protected = protect(config)
        site = TestApp(protected)
        return site, site.post_json("/token", LOGIN).json

    def test_refuses_what_the_issuer_revoked(
        self, protect: Protect, revoking: tuple[TestApp, dict[str, str]], write: Write
    ) -> None:
        issuer, answer = revoking
        site = TestApp(protect(write(SQLITE + "max_delay_seconds = 0\n")))
        site.get("/", headers=bearer(answer), status=200)
        issuer.post("/token/logout", headers=bearer(answer), status=204)
        site.get("/", headers=bearer(answer), status=401)

    def test_may_trust_the_issuer_and_have_no_keys_of_its_own(
        self, protect: Protect, folder: Path
    ) -> None:
        (folder / "jwt.toml").write_text(
            "[[trusted]]\nissuer = 'https://login.example.org'\naudience = 'api'\n"
            f"jwks_url = 'https://login.example.org/jwks'\n{SQLITE}"
            "issuer = 'https://login.example.org'\n"
        )
        protected = protect(folder / "jwt.toml")
        assert isinstance(protected.verifier.is_revoked, Revocations)

    def test_answers_503_while_the_store_is_not_there(
        self, protect: Protect, write: Write, issue_token: IssueToken
    ) -> None:
        absent = SQLITE.replace("sessions.db", "no/such/folder/sessions.db")
        site = TestApp(protect(write(absent)))
        headers = {"Authorization": f"Bearer {issue_token()}"}
        assert "Retry-After" in site.get("/", headers=headers, status=503).headers
        site.get("/", status=401)


class TestServers:
    @pytest.mark.parametrize("server", ["postgresql", "redis"])
    def test_share_what_is_revoked(
        self,
        protect: Protect,
        ann: SQLAccounts,
        write: Write,
        server: str,
        request: pytest.FixtureRequest,
    ) -> None:
        url = request.getfixturevalue(f"{server}_url")
        config = write(f'{ENDPOINT}[sessions]\nurl = "{url}"\nmax_delay_seconds = 0\n')
        prepare(config)
        one, other = protect(config), protect(config)
        answer = refresh(TestApp(other), TestApp(one).post_json("/token", LOGIN).json)
        TestApp(one).get("/", headers=bearer(answer), status=200)
        TestApp(other).post("/token/logout", headers=bearer(answer), status=204)
        TestApp(one).get("/", headers=bearer(answer), status=401)


class TestStart:
    def test_creates_and_connects_nothing(
        self, protect: Protect, folder: Path, write: Write
    ) -> None:
        config = write(ENDPOINT + SQLITE)
        before = sorted(folder.iterdir())
        protect(config)
        assert sorted(folder.iterdir()) == before

    def test_takes_an_sqlite_file_relative_to_the_configuration(
        self, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = write(SQLITE)
        (folder / "elsewhere").mkdir()
        monkeypatch.chdir(folder / "elsewhere")
        prepare(config)
        assert (folder / "sessions.db").is_file()

    def test_reads_what_is_revoked_before_the_first_request(
        self, protect: Protect, folder: Path, write: Write
    ) -> None:
        config = write(ENDPOINT + SQLITE)
        with closing(SQLSessions(f"sqlite:///{folder / 'sessions.db'}")) as store:
            store.revoke(Revocation("token", "https://auth.example.com\nj", 0, 2**31))
        sessions = endpoint_of(protect(config)).sessions
        assert sessions is not None
        assert len(sessions.revocations) == 1
        # And has no connection that a fork would inherit.
        assert [one for one in Path("/proc/self/fd").iterdir() if _leads_to(one, folder)] == []

    def test_reports_a_server_that_forgets(
        self,
        protect: Protect,
        write: Write,
        redis_url: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with redis.Redis.from_url(redis_url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            try:
                protect(write(LDAP + f'[endpoint]\n[sessions]\nurl = "{redis_url}"\n'))
            finally:
                client.config_set("maxmemory-policy", "noeviction")
        said = [one.message for one in caplog.records if one.levelno == logging.ERROR]
        assert any(one.startswith("store.unsafe") and "set noeviction" in one for one in said)


def _leads_to(descriptor: Path, folder: Path) -> bool:
    try:
        return str(folder) in str(descriptor.readlink())
    except OSError:  # the one of the listing
        return False


MISTAKES = [
    pytest.param(
        SQLITE + "grace_second = 1",
        ["sessions.grace_second: ", "mean grace_seconds?"],
        id="unknown",
    ),
    pytest.param("[sessions]", ['sessions.url: is missing: add url = "sqlite:'], id="no url"),
    pytest.param(
        "[login]\nwindow = 1", ["login.window: ", "mean window_seconds?"], id="unknown of login"
    ),
    pytest.param(LDAP + "[login]", ["login: needs a [sessions] table", "add it"], id="login alone"),
    pytest.param(
        SQLITE + "[login]", ["login: limits the logins of [endpoint]"], id="login without endpoint"
    ),
    pytest.param(
        "[endpoint]\nrefresh_lifetime_seconds = 60\n" + LDAP,
        ["endpoint.refresh_lifetime_seconds: needs sessions: add a [sessions] table"],
        id="refresh alone",
    ),
    pytest.param(
        VERIFIER + MEMORY, ["endpoint.lookups.ldap is missing: with sessions"], id="no lookup"
    ),
    pytest.param(
        LDAP + '[sessions]\nurl = "memory://"\nkey_prefix = "x"',
        ["sessions.key_prefix: is only for Redis"],
        id="key prefix",
    ),
    pytest.param(
        LDAP + MEMORY + "max_per_subject = 0", ["sessions.max_per_subject must be"], id="most"
    ),
    pytest.param(
        LDAP + MEMORY + "[login]\nleaf = 5", ["login.leaf: must be a burst and"], id="no drip"
    ),
    pytest.param(
        LDAP + MEMORY + "[login]\nleaf = [0, 60]", ["login.leaf must be a burst"], id="no burst"
    ),
    pytest.param(
        LDAP + MEMORY + "[endpoint.subjects]\nldap = 'x'",
        ["endpoint.subjects.ldap must be a prefix and {uid}"],
        id="subject",
    ),
    pytest.param(
        VERIFIER + "[endpoint.lookups]\nldap = 'json:loads'",
        ["endpoint.lookups: needs sessions: add a [sessions]"],
        id="lookups alone",
    ),
    pytest.param(
        VERIFIER + MEMORY + "[endpoint.lookups]\nldap = 'json:no'",
        ["endpoint.lookups.ldap: 'json:no': there is no 'no'"],
        id="no such lookup",
    ),
    pytest.param(
        VERIFIER + MEMORY + "[endpoint.lookups]\nemail = 'json:loads'",
        ["endpoint.lookups.email: is for a client type that cannot log in"],
        id="lookup of nobody",
    ),
    pytest.param(
        "[endpoint]\nrefresh_lifetime_seconds = 7199\n" + LDAP + MEMORY,
        ["endpoint.refresh_lifetime_seconds must be ", "at least 7200, which is lifetime_seconds"],
        id="refresh shorter than access",
    ),
    pytest.param(
        LDAP + MEMORY + "max_lifetime_seconds = 1209599",
        [
            "sessions.max_lifetime_seconds must be",
            "at least 1209600, which is refresh_lifetime_seconds",
        ],
        id="session shorter than refresh",
    ),
    pytest.param(
        LDAP + MEMORY + "grace_seconds = 301",
        ["sessions.grace_seconds must be a number of seconds from 0 to"],
        id="grace",
    ),
    pytest.param(
        LDAP + MEMORY + "max_delay_seconds = -1", ["sessions.max_delay_seconds must"], id="delay"
    ),
    pytest.param(
        SQLITE + "max_delay_seconds = 61", ["sessions.max_delay_seconds must"], id="delay alone"
    ),
    pytest.param(
        LDAP + MEMORY + "issuer = 'https://other'",
        ["sessions.issuer: is not the issuer of [endpoint]"],
        id="another issuer",
    ),
    pytest.param(
        LDAP + MEMORY + "[login]\nmax_per_account = -1", ["login.max_per_account must"], id="limit"
    ),
    pytest.param(
        LDAP + MEMORY + "[login]\nwindow_seconds = 0", ["login.window_seconds must"], id="window"
    ),
    pytest.param(
        LDAP + MEMORY + "[login]\ntrusted_proxies = -1", ["login.trusted_proxies"], id="proxies"
    ),
    pytest.param(MEMORY, ["sessions.url: memory:// is only in the running app"], id="memory"),
]


class TestMistakes:
    @table(("text", "parts"), MISTAKES)
    def test_are_one_line_that_names_the_setting_and_the_fix(
        self, write: Write, text: str, parts: list[str]
    ) -> None:
        config = write(text)
        with pytest.raises(ConfigurationError) as caught:
            wrap(config, app)
        message = str(caught.value)
        assert message.startswith(f"{config}: ")
        assert "\n" not in message
        for part in parts:
            assert part in message

    def test_in_what_no_keys_of_ones_own_are_for(self, folder: Path) -> None:
        (folder / "jwt.toml").write_text(
            "[[trusted]]\nissuer = 'https://login.example.org'\naudience = 'api'\n"
            f"jwks_url = 'https://login.example.org/jwks'\n{SQLITE}"
        )
        with pytest.raises(
            ConfigurationError, match=r"sessions\.issuer: is missing: add the issuer"
        ):
            wrap(folder / "jwt.toml", app)


class TestMetadata:
    PATH = "/.well-known/oauth-authorization-server"

    def test_name_what_lies_below_the_endpoint(self, protect: Protect, write: Write) -> None:
        site = TestApp(protect(write(ENDPOINT + MEMORY + "[metadata]\n")))
        members = site.get(self.PATH).json
        url = "https://auth.example.com/token"
        assert members["revocation_endpoint"] == f"{url}/revoke"
        assert members["introspection_endpoint"] == f"{url}/introspect"
        assert set(members["grant_types_supported"]) == {"refresh_token", "client_credentials"}
