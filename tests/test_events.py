from __future__ import annotations

import io
import json
import logging
import os
import shlex
import sys
from asyncio import CancelledError
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from jwt_middleware import events
from jwt_middleware.errors import (
    BadCredentialsError,
    DuplicateRowError,
    PoolExhaustedError,
    UnavailableError,
)
from jwt_middleware.events import QUIET_SECONDS, Event, Fields, Name, Outage, emit, listen

FORGED = 'x\r\n2026-11-25 CRITICAL "forged"=1 \x1b[31m\u2028\ud800é'


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    """Return the events that a listener gets while the test runs."""
    got: list[Event] = []
    remove = listen(got.append)
    yield got
    remove()


@pytest.fixture
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Return stderr of a process in which the application has not configured logging."""
    stderr = io.StringIO()
    logger = logging.getLogger("jwt_middleware")
    level, handlers = logger.level, list(logger.handlers)
    root = logging.RootLogger(logging.WARNING)  # pytest has handlers at the true one
    monkeypatch.setattr(logging, "root", root)
    monkeypatch.setattr(logger, "parent", root)
    monkeypatch.setattr(events, "sys", SimpleNamespace(stderr=stderr))  # pytest swaps the true one
    logger.handlers[:] = []
    yield stderr
    logger.setLevel(level)
    logger.handlers[:] = handlers
    events._look_up_level()


class TestEmit:
    def test_logs_a_readable_line_with_fields(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "jwt_middleware"):
            emit(Name.REQUEST_REFUSED, reason="expired_token", method="GET", path="/a b", sub="")
        [record] = caplog.records
        assert record.name == "jwt_middleware"
        assert record.getMessage() == (
            'request.refused reason=expired_token method=GET path="/a b"'
        )
        assert vars(record)["event"] == "request.refused"
        assert vars(record)["reason"] == "expired_token"

    @pytest.mark.parametrize("field", ["path", "kid", "sub"])
    def test_escapes_what_a_client_sent(
        self, caplog: pytest.LogCaptureFixture, heard: list[Event], field: str
    ) -> None:
        fields: Any = {field: FORGED + "y" * 10_000}
        with caplog.at_level(logging.INFO, "jwt_middleware"):
            emit(Name.REQUEST_REFUSED, **fields)
        [record] = caplog.records
        shown = vars(record)[field]
        assert heard[0].fields[field] == shown
        for text in (shown.rstrip("…"), record.getMessage().replace("…", "")):
            assert text.isascii()
            assert text.isprintable()
            assert len(text) < 2000

    @pytest.mark.parametrize("value", ['/x" sub="admin', 'x\\" sub=admin', '"', "a=b c"])
    def test_no_value_can_be_taken_for_another_field(
        self, caplog: pytest.LogCaptureFixture, value: str
    ) -> None:
        with caplog.at_level(logging.INFO, "jwt_middleware"):
            emit(Name.REQUEST_REFUSED, path=value, kid="k")
        [record] = caplog.records
        assert shlex.split(record.getMessage()) == ["request.refused", f"path={value}", "kid=k"]

    def test_no_field_is_an_attribute_of_log_records(self) -> None:
        record = logging.LogRecord("n", 0, "p", 0, "m", None, None)
        assert not {*Fields.__annotations__, "event", "left_out"} & {*vars(record), "message"}

    def test_each_event_has_a_level(self) -> None:
        assert set(events.LEVELS) == set(Name)

    def test_bounds_a_flood_and_counts_the_rest(
        self,
        caplog: pytest.LogCaptureFixture,
        heard: list[Event],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        clock = [100.0]
        monkeypatch.setattr("time.monotonic", lambda: clock[0])
        events.limit(3)
        with caplog.at_level(logging.INFO, "jwt_middleware"):
            for _ in range(50):
                emit(Name.LOGIN_FAILED)
            emit(Name.LOGIN_SUCCEEDED)  # counted apart
            clock[0] += 1
            emit(Name.LOGIN_FAILED)
            emit(Name.LOGIN_FAILED)
        lines = [record.getMessage() for record in caplog.records]
        assert lines == [
            *["login.failed"] * 3,
            "login.succeeded",
            "login.failed left_out=47",
            "login.failed",
        ]
        assert len(heard) == 53  # an audit trail gets all of them

    def test_counts_a_flood_of_many_threads_exactly(
        self,
    ) -> None:
        bound = events._Bound()

        def lets_through(_: int) -> bool:
            return bound.lets_through("x", 1)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with ThreadPoolExecutor(8) as pool:
                told = [*pool.map(lambda _: sum(map(lets_through, range(2000))), range(8))]
        finally:
            sys.setswitchinterval(interval)
        assert sum(told) == bound.max_per_second
        assert bound.take_left_out("x") == 16_000 - bound.max_per_second

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX alone forks")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_what_a_parent_has_left_out_is_not_told_by_its_children(self) -> None:
        bound = events._Bound()
        while bound.lets_through("x", 1):
            pass
        child = os.fork()
        if child == 0:
            os._exit(bound.take_left_out("x"))
        assert os.waitpid(child, 0)[1] == 0
        assert bound.take_left_out("x") == 1

    def test_calls_for_more_only_where_it_is_wanted(self) -> None:
        logging.getLogger("jwt_middleware").setLevel(logging.CRITICAL)
        try:
            emit(Name.REQUEST_REFUSED, lambda: pytest.fail("was called"))
        finally:
            logging.getLogger("jwt_middleware").setLevel(logging.NOTSET)


class Store:
    """A store whose uses fail as they are told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.outage = Outage("sqlite:///s.db", monotonic=lambda: self.now)

    def use(self, use: str, error: Exception | None = None) -> None:
        self.now += 1
        with suppress(Exception), self.outage.watched(use):
            if error is not None:
                raise error


DOWN = UnavailableError("disk full")


class TestOutage:
    @pytest.fixture
    def store(self) -> Store:
        return Store()

    def test_is_told_once_and_its_end_as_well(self, store: Store, heard: list[Event]) -> None:
        for _ in range(2):
            store.use("reading")
            for _ in range(5):
                store.use("reading", DOWN)
            for _ in range(3):
                store.use("reading")
        lost = (Name.STORE_LOST, {"store": "sqlite:///s.db", "detail": "disk full"})
        back = (Name.STORE_BACK, {"store": "sqlite:///s.db"})
        assert [(one.name, dict(one.fields)) for one in heard] == [lost, back, lost, back]

    def test_lasts_until_what_failed_succeeds(self, store: Store, heard: list[Event]) -> None:
        for _ in range(3):
            store.use("reading")
            store.use("writing", DOWN)
        assert [one.name for one in heard] == [Name.STORE_LOST]
        store.use("writing")
        assert [one.name for one in heard] == [Name.STORE_LOST, Name.STORE_BACK]

    def test_that_is_of_all_uses_ends_with_the_first_that_succeeds(
        self, store: Store, heard: list[Event]
    ) -> None:
        store.use("writing", DOWN)
        store.use("reading", DOWN)
        store.use("reading")
        assert [one.name for one in heard] == [Name.STORE_LOST, Name.STORE_BACK]

    def test_ends_where_what_failed_is_not_tried_again(
        self, store: Store, heard: list[Event]
    ) -> None:
        store.use("writing", DOWN)
        store.now += QUIET_SECONDS
        store.use("reading")
        assert [one.name for one in heard] == [Name.STORE_LOST, Name.STORE_BACK]

    @pytest.mark.parametrize("exhausted", [True, False])
    def test_is_none_where_the_store_works(
        self, store: Store, heard: list[Event], *, exhausted: bool
    ) -> None:
        error: Exception = DuplicateRowError()
        if exhausted:
            error = UnavailableError()
            error.__cause__ = PoolExhaustedError()
        store.use("writing", error)
        store.use("writing", BadCredentialsError())
        assert not heard

    def test_is_not_told_by_an_operation_that_began_before_its_end(
        self, store: Store, heard: list[Event]
    ) -> None:
        with suppress(UnavailableError), store.outage.watched("reading"):
            store.use("reading", DOWN)
            store.use("reading")
            raise DOWN
        assert [one.name for one in heard] == [Name.STORE_LOST, Name.STORE_BACK]

    def test_is_told_once_by_many_threads(self, store: Store, heard: list[Event]) -> None:
        for error in (DOWN, None):
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(store.use, ["reading", "writing"] * 100, [error] * 200))
        assert [one.name for one in heard] == [Name.STORE_LOST, Name.STORE_BACK]


class TestListeners:
    def test_get_events_whatever_the_level(self, heard: list[Event]) -> None:
        logger = logging.getLogger("jwt_middleware")
        logger.setLevel(logging.CRITICAL)
        try:
            emit(Name.REQUEST_ALLOWED, method="GET")
            emit(Name.TOKEN_ISSUED, sub="42")
        finally:
            logger.setLevel(logging.NOTSET)
        assert [(one.name, dict(one.fields)) for one in heard] == [
            (Name.REQUEST_ALLOWED, {"method": "GET"}),
            (Name.TOKEN_ISSUED, {"sub": "42"}),
        ]

    @pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, GeneratorExit])
    def test_an_exception_is_logged_and_the_others_are_called(
        self, caplog: pytest.LogCaptureFixture, heard: list[Event], error: type[BaseException]
    ) -> None:
        def fail(event: Event) -> None:
            raise error

        remove = listen(fail)
        try:
            emit(Name.TOKEN_ISSUED)
        finally:
            remove()
        assert len(heard) == 1
        assert "a listener failed at the event token.issued" in caplog.text
        assert error.__name__ in caplog.text

    @pytest.mark.parametrize("thrown", [KeyboardInterrupt, CancelledError])
    def test_what_ends_the_thread_from_outside_passes(self, thrown: type[BaseException]) -> None:
        def interrupted(event: Event) -> None:
            raise thrown

        remove = listen(interrupted)
        try:
            for _ in range(2):  # and the next event is told again
                with pytest.raises(thrown):
                    emit(Name.TOKEN_ISSUED)
        finally:
            remove()

    def test_each_has_fields_of_its_own(self, heard: list[Event]) -> None:
        ended = [listen(lambda event: event.fields.update(sub="forged"))]  # type: ignore[attr-defined]
        ended.append(listen(heard.append))
        last: list[Event] = []
        ended.append(listen(last.append))
        emit(Name.TOKEN_ISSUED, sub="42")
        for end in ended:
            end()
        assert [event.fields for event in (*heard, *last)] == [{"sub": "42"}, {"sub": "42"}]

    def test_are_not_told_what_they_cause(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, logger="jwt_middleware")
        end = listen(lambda _: emit(Name.TOKEN_REVOKED, sub="43"))
        emit(Name.TOKEN_ISSUED, sub="42")
        end()
        assert caplog.messages == ["token.issued sub=42", "token.revoked sub=43"]

    def test_one_given_twice_is_called_once(self) -> None:
        got: list[Event] = []
        for _ in range(2):
            remove = listen(got.append)
            emit(Name.TOKEN_ISSUED)
            remove()
        emit(Name.TOKEN_ISSUED)
        assert len(got) == 2

    def test_allowed_requests_are_told_only_where_it_is_wanted(self) -> None:
        assert not events.tells_allowed
        counted: list[Name] = []
        remove = events.count(lambda name, _: counted.append(name))
        assert not events.tells_allowed
        emit(Name.REQUEST_ALLOWED)
        emit(Name.REQUEST_REFUSED)
        remove()
        assert counted == [Name.REQUEST_REFUSED]
        got: list[Event] = []
        remove = listen(got.append)
        assert events.tells_allowed
        remove()
        assert not events.tells_allowed

    def test_a_level_that_is_changed_later_counts_with_the_next_event(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG, "jwt_middleware"):
            emit(Name.TOKEN_ISSUED)
            assert events.tells_allowed
        emit(Name.TOKEN_ISSUED)
        assert not events.tells_allowed


def start(**options: Any) -> None:
    """Set logging up as in a process without pytest, which adds handlers for each test."""
    logging.root.handlers.clear()
    events.set_up(**options)


class TestSetUp:
    def test_writes_lines(self, own_logging: io.StringIO) -> None:
        start()
        emit(Name.REQUEST_REFUSED, reason="missing_token")
        emit(Name.REQUEST_ALLOWED)
        time, level, *rest = own_logging.getvalue().split()
        assert time.endswith("Z")
        assert (level, rest) == ("INFO", ["request.refused", "reason=missing_token"])

    def test_no_line_of_a_traceback_is_like_one_of_the_log(self, own_logging: io.StringIO) -> None:
        start()

        def fail(_: Event) -> None:
            raise ValueError("x\n2026-11-26T00:00:00.000Z INFO token.issued sub=\x1b[31mx\x85y")

        end = listen(fail)
        emit(Name.TOKEN_ISSUED, sub="42")
        end()
        first, second, *others = own_logging.getvalue().splitlines()
        assert first.endswith("token.issued sub=42")
        assert "ERROR a listener failed" in second
        assert all(line.startswith("    ") and line.isprintable() for line in others)
        assert any("token.issued" in line for line in others)

    def test_a_closed_stderr_costs_the_lines_alone(
        self, own_logging: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start()
        own_logging.close()
        monkeypatch.setattr(sys, "stderr", own_logging)
        emit(Name.REQUEST_REFUSED, reason="missing_token")

    def test_writes_json(self, own_logging: io.StringIO) -> None:
        start(format="json", level=logging.DEBUG)
        emit(Name.REQUEST_ALLOWED, path=FORGED)
        logging.getLogger("jwt_middleware.sessions").warning("plain %s", "text")
        first, second = map(json.loads, own_logging.getvalue().splitlines())
        assert first["event"] == "request.allowed"
        assert first["level"] == "DEBUG"
        assert first["path"].startswith("x\\r\\n2026")
        assert second["message"] == "plain text"

    def test_twice_writes_once(self, own_logging: io.StringIO) -> None:
        start()
        start(level=logging.DEBUG)
        emit(Name.TOKEN_ISSUED)
        assert own_logging.getvalue().count("token.issued") == 1

    def test_leaves_logging_of_the_application_alone(self, own_logging: io.StringIO) -> None:
        own = logging.StreamHandler(io.StringIO())
        logging.root.handlers[:] = [own]
        events.set_up()
        assert logging.getLogger("jwt_middleware").handlers == []

    @pytest.mark.parametrize("is_late", [False, True])
    def test_a_configuration_that_does_not_name_the_logger_does_not_silence_it(
        self, own_logging: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, is_late: bool
    ) -> None:
        if is_late:
            start()
        # As dictConfig() does, by default, to what is there already.
        monkeypatch.setattr(logging.getLogger("jwt_middleware"), "disabled", True)
        if not is_late:
            start()
        emit(Name.TOKEN_ISSUED)
        assert own_logging.getvalue().count("token.issued") == 1

    @pytest.mark.parametrize("name", [None, "jwt_middleware"])
    def test_gives_way_to_logging_that_is_configured_later(
        self, own_logging: io.StringIO, name: str | None
    ) -> None:
        start()
        later = io.StringIO()
        logger = logging.getLogger(name) if name else logging.root
        logger.handlers.append(logging.StreamHandler(later))
        emit(Name.TOKEN_ISSUED)
        assert own_logging.getvalue() == ""
        assert later.getvalue().count("token.issued") == 1
