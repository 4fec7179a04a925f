from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from jwt_middleware.config.reading import Place
from jwt_middleware.config.sessions import build_store, check_processes
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sessions import MemorySessions
from jwt_middleware.sessions.stores.redis.store import RedisSessions
from jwt_middleware.sessions.stores.sql.store import SQLSessions

from ..table import table

PLACE = Place(Path("jwt.toml"), "sessions.url")


class TestScheme:
    @table(
        ("url", "kind"),
        [
            ("memory://", MemorySessions),
            ("sqlite:///sessions.db", SQLSessions),
            ("sqlite+pysqlite:///sessions.db", SQLSessions),
            ("postgresql://user@db.example.com/sessions", SQLSessions),
            ("postgresql+psycopg://user@db.example.com/sessions", SQLSessions),
            ("redis://cache.example.com:6379/0", RedisSessions),
            ("rediss://cache.example.com", RedisSessions),
            ("unix:///run/redis.sock", RedisSessions),
            ("redis+sentinel://s1.example.com,s2.example.com/sessions/0", RedisSessions),
            ("rediss+sentinel://s1.example.com/sessions", RedisSessions),
            ("REDIS://cache.example.com", RedisSessions),
        ],
    )
    def test_picks_the_store(self, url: str, kind: type) -> None:
        store = build_store(url, PLACE)
        assert isinstance(store, kind)
        store.close()

    @table(
        "url",
        [
            "mysql://u:hunter2@db/sessions",
            "sessions.db",
            "sqlite:sessions.db",
            "u:hunter2@cache",
            "://hunter2",
            " redis://u:hunter2@cache",
        ],
    )
    def test_that_is_unknown_is_not_quoted(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            build_store(url, PLACE)
        message = str(caught.value)
        assert message.startswith("jwt.toml: sessions.url: is not the URL of a known store")
        assert "write sqlite:///sessions.db, postgresql://" in message
        assert "hunter2" not in message

    @table(
        "url",
        [
            "postgresql://u:hunter2@db:port/sessions",
            "postgresql://u:hunter2@@db/sessions",
            "sqlite://u:hunter2@host/sessions.db",
            "redis://u:hunter2@cache:port/0",
            "redis://u:hunter2@cache/0?no_such=1",
        ],
    )
    def test_of_a_url_that_is_wrong_further_on_keeps_its_password(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            build_store(url, PLACE)
        error: BaseException | None = caught.value
        assert str(error).startswith("jwt.toml: sessions.url: ")
        while error is not None:
            assert "hunter2" not in repr(error)
            error = error.__cause__ or error.__context__

    def test_says_which_extra_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = "jwt_middleware.sessions.stores.redis.store"
        monkeypatch.delitem(sys.modules, module)
        monkeypatch.delattr(module)
        monkeypatch.setitem(sys.modules, "redis", None)
        with pytest.raises(ConfigurationError) as caught:
            build_store("redis://host", PLACE)
        assert str(caught.value) == (
            "jwt.toml: sessions.url: redis is missing: pip install 'wsgi-jwt-middleware[redis]'"
        )

    def test_says_that_the_driver_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "jwt_middleware.sql.postgresql", raising=False)
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(ConfigurationError) as caught:
            build_store("postgresql://host/db", PLACE)
        assert str(caught.value) == (
            "jwt.toml: sessions.url: the database url is for PostgreSQL, whose driver is missing:"
            " pip install 'wsgi-jwt-middleware[postgresql]'"
        )


class TestProcesses:
    @table("value", [None, "", "0", "1", " 1 ", "many", "-2", "2.5"])
    def test_in_memory_may_be_one(self, value: str | None) -> None:
        environ = {} if value is None else {"WEB_CONCURRENCY": value}
        check_processes(MemorySessions(), environ, PLACE)

    @pytest.mark.parametrize("value", ["2", " 16 "])
    def test_in_memory_may_not_be_several(self, value: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            check_processes(MemorySessions(), {"WEB_CONCURRENCY": value}, PLACE)
        assert str(caught.value).startswith(
            f"jwt.toml: sessions.url: memory:// is not shared among {value.strip()} processes"
        )

    def test_of_uwsgi_are_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(numproc=1))
        check_processes(MemorySessions(), {}, PLACE)
        monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(numproc=2))
        with pytest.raises(ConfigurationError, match="not shared among 2 processes"):
            check_processes(MemorySessions(), {}, PLACE)

    def test_of_a_store_that_is_shared_may_be_many(self) -> None:
        store = build_store("sqlite:///sessions.db", PLACE)
        check_processes(store, {"WEB_CONCURRENCY": "64"}, PLACE)
        store.close()
