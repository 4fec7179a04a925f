from __future__ import annotations

import sys
from typing import Any

import pytest

from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sql.urls import parse_url

from ..table import table


@table(
    ("url", "fix"),
    [
        pytest.param("", "write sqlite:///accounts.db", id="empty"),
        pytest.param("accounts.db", "write sqlite:///accounts.db", id="path"),
        pytest.param(None, "write sqlite:///accounts.db", id="none"),
        pytest.param("postgresql://ann:hunter2@h:port/db", "write sqlite", id="port"),
        pytest.param("postgresql://ann:hun@ter2:x@h/db", "write sqlite", id="at-in-password-port"),
        pytest.param("postgresql://ann:a@hunter2@h/db", "write %40", id="at-in-password"),
        pytest.param("postgresql://ann:a@hunter2?b@h/db", "write %40", id="at-and-question-mark"),
        pytest.param("postgresql://ann:a?b@hunter2@h/db", "write %40", id="question-mark-and-at"),
        pytest.param("mysql://ann:hunter2@h/db", "for mysql; write sqlite", id="mysql"),
        pytest.param("postgres://ann:hunter2@h/db", "for postgres; write sqlite", id="postgres"),
        pytest.param("postgresql+psycopg2://h/db", "for postgresql.psycopg2", id="psycopg2"),
        pytest.param("sqlite+aiosqlite:///a.db", "for sqlite.aiosqlite", id="aiosqlite"),
        pytest.param("sqlite://", "three slashes", id="memory"),
        pytest.param("sqlite:///", "three slashes", id="no-path"),
        pytest.param("sqlite:///:memory:", "three slashes", id="memory-by-name"),
        pytest.param("sqlite:///file::memory:?uri=true", "three slashes", id="memory-by-uri"),
        pytest.param("sqlite://accounts.db", "three slashes", id="two-slashes"),
        pytest.param("sqlite:///a.db?timeout=hunter2", "bad query", id="bad-query"),
        pytest.param("sqlite://ann:hunter2@/a.db", "bad query", id="user-of-a-file"),
        pytest.param("postgresql://ann:hunter2@h/db?hunter2=1", "bad query", id="libpq-unknown"),
        pytest.param("postgresql://ann:hunter2@[::1/db", "write sqlite", id="open-bracket"),
        pytest.param("postgresql://ann:hunter2@h:0/db", "write sqlite", id="port-0"),
        pytest.param("postgresql://ann:hunter2@h:65536/db", "write sqlite", id="port-too-high"),
        pytest.param("postgresql://ann:hunter2@h,/db?port=1,2,3", "bad query", id="ports"),
        pytest.param("postgresql://ann:hunter2@h\0/db", "write sqlite", id="nul"),
        pytest.param("postgresql://ann:hunter2@h/\udc80", "write sqlite", id="surrogate"),
        pytest.param("postgresql://ann:hunter2%00@h/db", "write sqlite", id="escaped-nul"),
        pytest.param("postgresql://h/db?password=hunter2%00", "write sqlite", id="nul-in-query"),
        pytest.param("postgresql://h/db?target_session_attrs=x", "bad query", id="attrs"),
        pytest.param("sqlite:///a\0b.db", "write sqlite", id="nul-in-a-path"),
    ],
)
def test_a_bad_url_names_the_fix_and_not_the_password(url: Any, fix: str) -> None:
    with pytest.raises(ConfigurationError, match=fix) as raised:
        SQLAccounts(url)
    assert "hunter2" not in str(raised.value)
    assert "ter2" not in repr(raised.value.__context__)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "jwt_middleware.sql.postgresql", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'wsgi-jwt-middleware\[postgresql"):
        SQLAccounts("postgresql://ann:hunter2@h/db")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param(
            "postgresql://ann:hunter2@h:5/db?sslpassword=hunter2",
            "SQLAccounts('postgresql+psycopg://ann:***@h:5/db')",
            id="postgresql",
        ),
        pytest.param("sqlite:////srv/accounts.db", "SQLAccounts('/srv/accounts.db')", id="sqlite"),
    ],
)
def test_shows_no_password(url: str, shown: str) -> None:
    accounts = SQLAccounts(url)
    assert repr(accounts) == shown
    assert "hunter2" not in repr(accounts.verifier("email"))


@table(
    ("url", "libpq"),
    [
        pytest.param("postgresql://", {}, id="nothing"),
        pytest.param("postgresql:///db", {"dbname": "db"}, id="database"),
        pytest.param("postgresql://h", {"host": "h"}, id="host"),
        pytest.param(
            "postgresql+psycopg://ann:a%40b%2F@h:5/db",
            {"host": "h", "port": "5", "user": "ann", "password": "a@b/", "dbname": "db"},
            id="escaped-password",
        ),
        pytest.param(
            "postgresql://ann:a/b?c@h/db",
            {"host": "h", "user": "ann", "password": "a/b?c", "dbname": "db"},
            id="bare-password",
        ),
        pytest.param(
            "postgresql://[::1]:5/db", {"host": "::1", "port": "5", "dbname": "db"}, id="ipv6"
        ),
        pytest.param(
            "postgresql://a:1,b/db", {"host": "a,b", "port": "1,", "dbname": "db"}, id="hosts"
        ),
        pytest.param(
            "postgresql:///db?host=a:1&host=b:2",
            {"host": "a,b", "port": "1,2", "dbname": "db"},
            id="hosts-in-the-query",
        ),
        pytest.param("postgresql://?host=/run/pg", {"host": "/run/pg"}, id="socket"),
        pytest.param(
            "postgresql://h/?options=-c+a%3D1&target_session_attrs=any",
            {"host": "h", "options": "-c a=1", "target_session_attrs": "any"},
            id="parameters",
        ),
    ],
)
def test_reads_a_url_of_postgresql(url: str, libpq: dict[str, str]) -> None:
    assert parse_url(url).libpq == libpq


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///a.db", "a.db"),
        ("sqlite+pysqlite:////srv/a b%41.db", "/srv/a b%41.db"),
        ("sqlite:///../a.db", "../a.db"),
    ],
)
def test_reads_a_url_of_sqlite(url: str, path: str) -> None:
    assert str(parse_url(url).path) == path
