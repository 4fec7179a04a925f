"""
Events for operators, with stable names.

Each is logged by the logger ``jwt_middleware`` as a readable line, with its fields as ``extra``,
and passed to every listener.  The log is rate-limited per event name; dropped lines are counted in
the next line of that name.  Listeners get every event, whatever the logger's level.

Values from clients are escaped and truncated.  No field is a token, a secret or a full claim set.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple, TextIO, TypedDict, TypeVar, Unpack

from .errors import DuplicateRowError, PoolExhaustedError, UnavailableError, in_one_line
from .fork import PerProcess

logger: logging.Logger = logging.getLogger("jwt_middleware")

DEFAULT_MAX_PER_SECOND: Final = 20
MAX_FIELD_CHARS: Final = 200

T = TypeVar("T")
Format = Literal["line", "json"]


class Name(StrEnum):
    """The names of all events."""

    REQUEST_ALLOWED = "request.allowed"
    REQUEST_REFUSED = "request.refused"
    REQUEST_REPORTED = "request.reported"
    REQUEST_UNAVAILABLE = "request.unavailable"
    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    LOGIN_LIMITED = "login.limited"
    TOKEN_ISSUED = "token.issued"  # noqa: S105  the name of an event
    TOKEN_REFRESHED = "token.refreshed"  # noqa: S105  the same
    TOKEN_REPEATED = "token.repeated"  # noqa: S105  the same
    TOKEN_REPLAYED = "token.replayed"  # noqa: S105  the same
    TOKEN_REVOKED = "token.revoked"  # noqa: S105  the same
    SESSION_ENDED = "session.ended"
    KEYS_FETCHED = "keys.fetched"
    KEYS_FAILED = "keys.failed"
    KEYS_CHANGED = "keys.changed"
    RING_ROTATED = "ring.rotated"
    STORE_LOST = "store.lost"
    STORE_BACK = "store.back"
    STORE_UNSAFE = "store.unsafe"
    REVOCATIONS_LOST = "revocations.lost"
    CLOCK_SKEW = "clock.skew"
    CONFIGURATION_LOADED = "configuration.loaded"


LEVELS: Final[Mapping[Name, int]] = dict.fromkeys(Name, logging.INFO) | {
    Name.REQUEST_ALLOWED: logging.DEBUG,
    Name.REQUEST_REPORTED: logging.WARNING,
    Name.REQUEST_UNAVAILABLE: logging.ERROR,
    Name.LOGIN_LIMITED: logging.WARNING,
    Name.TOKEN_REPEATED: logging.WARNING,
    Name.TOKEN_REPLAYED: logging.WARNING,
    Name.KEYS_FAILED: logging.ERROR,
    Name.STORE_LOST: logging.ERROR,
    Name.STORE_UNSAFE: logging.ERROR,
    Name.REVOCATIONS_LOST: logging.ERROR,
    Name.CLOCK_SKEW: logging.ERROR,
}
"""The log level of each event."""


class Fields(TypedDict, total=False):
    """
    The fields of an event.

    Attributes:
        reason: The stable code of an error.
        detail: The reason, in this package's words.
        method: The request's method.
        path: The request's path, without its query.
        client: Address of the client.
        rule: Paths of the matching rules, joined by commas.
        issuer: *iss* of a token; unverified unless the token was accepted.
        kid: *kid* of a token, likewise.
        jti: *jti* of a token, likewise.
        sub: *sub* of a token, likewise.
        client_type: Client type of the login.
        sid: *sid* of a session.
        keys: The *kid* of each current key.
        url: URL of a key set, without its query.
        store: URL of a session or account store, without its password.
        file: A configuration file.
    """

    reason: str
    detail: str
    method: str
    path: str
    client: str
    rule: str
    issuer: str
    kid: str
    jti: str
    sub: str
    client_type: str
    sid: str
    keys: str
    url: str
    store: str
    file: str


class Event(NamedTuple):
    """
    An event.

    Attributes:
        name: What happened.
        at: Seconds since the Unix epoch.
        fields: Its fields, escaped.
    """

    name: Name
    at: float
    fields: Mapping[str, str | float]


Listener = Callable[[Event], object]

Counter = Callable[[Name, Fields], object]

_listeners: list[Listener] = []
_counters: list[Counter] = []

tells_allowed: Final[list[object]] = []
"""
Not empty while ``request.allowed`` is logged or listened to.

Checked on every request, where asking the logger for its level would be too slow.  Updated with
every other event, so that a changed level takes effect soon.
"""


def listen(listener: Listener) -> Callable[[], None]:
    """
    Call *listener* with every event from now on, including ``request.allowed``.

    Adding a listener twice has no effect.  It is called in the thread of the event, before the
    response, so it should be fast.  Its exceptions, including ``SystemExit``, are logged and
    ignored.  Events that it causes itself are only logged.

    Returns:
        A function that removes it.
    """
    return _add(listener, _listeners)


def count(counter: Counter) -> Callable[[], None]:
    """
    Call *counter* with the name of every event but ``request.allowed``, and its first fields.

    Returns:
        A function that removes it.
    """
    return _add(counter, _counters)


def _add(one: T, to: list[T]) -> Callable[[], None]:
    if one not in to:
        to.append(one)
    _look_up_level()

    def remove() -> None:
        if one in to:
            to.remove(one)
        _look_up_level()

    return remove


def _look_up_level() -> None:
    if logger.disabled and any(isinstance(one, FallbackHandler) for one in logger.handlers):
        logger.disabled = False  # by a dictConfig() that came after set_up()
    wanted = bool(_listeners) or logger.isEnabledFor(logging.DEBUG)
    if wanted != bool(tells_allowed):
        tells_allowed[:] = [True] if wanted else []


class _Counts:
    def __init__(self) -> None:
        self.lock = threading.RLock()  # reentrant for signal handlers in the same thread
        self.seconds: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        self.left_out: dict[str, int] = {}


class _Bound:
    """A rate limit per event name and second, which counts dropped events."""

    def __init__(self) -> None:
        self.max_per_second = DEFAULT_MAX_PER_SECOND
        self._counts = PerProcess(_Counts)  # a parent's counts are not the child's

    def lets_through(self, name: str, now: float) -> bool:
        counts, second = self._counts.get(), int(now)
        with counts.lock:
            if counts.seconds.get(name) != second:
                counts.seconds[name], counts.seen[name] = second, 0
            counts.seen[name] += 1
            if counts.seen[name] <= self.max_per_second:
                return True
            counts.left_out[name] = counts.left_out.get(name, 0) + 1
            return False

    def take_left_out(self, name: str) -> int:
        counts = self._counts.get()
        with counts.lock:
            return counts.left_out.pop(name, 0)


_bound: Final = _Bound()


def limit(max_per_second: int) -> None:
    """Log at most *max_per_second* events of each name per second."""
    _bound.max_per_second = max_per_second


def emit(name: Name, more: Callable[[], Fields] | None = None, /, **fields: Unpack[Fields]) -> None:
    """
    Log an event and pass it to the listeners.

    Args:
        name: What happened.
        more: Returns more fields; only called if the event is logged or listened to.
        fields: The event's fields; ``None`` and empty strings are left out.
    """
    _look_up_level()
    is_logged = logger.isEnabledFor(LEVELS[name]) and _bound.lets_through(name, time.monotonic())
    if name is not Name.REQUEST_ALLOWED:
        for counter in _counters:
            counter(name, fields)
    if not is_logged and not _listeners:
        return
    known: dict[str, Any] = {**fields, **(more() if more is not None else {})}
    event = Event(name, time.time(), {key: clean(one) for key, one in known.items() if one})
    if is_logged:
        _log(event)
    if _listeners and not getattr(_telling, "is_busy", False):
        _tell(event)


_telling: Final = threading.local()


def _tell(event: Event) -> None:
    """Call the listeners, each with its own copy of the fields; nested events are only logged."""
    _telling.is_busy = True
    try:
        for listener in tuple(_listeners):
            try:
                listener(event._replace(fields=dict(event.fields)))
            except (Exception, SystemExit, GeneratorExit):
                # Others are thrown in from outside: KeyboardInterrupt, or a timeout of gevent.
                if _bound.lets_through(_FAILED, time.monotonic()):
                    left_out = _bound.take_left_out(_FAILED)
                    more = f" ({left_out} such lines left out)" if left_out else ""
                    logger.exception("a listener failed at the event %s%s", event.name, more)
    finally:
        _telling.is_busy = False


_FAILED: Final = "listener failed"


QUIET_SECONDS: Final = 30.0
"""After this time without a failure a store is back, even if a failed use was not retried."""


class Outage:
    """
    Emits when a store is lost and when it is back, once each.

    A store that refuses writes is back after a successful write; one that cannot be read, after a
    successful read.

    Args:
        store: Its name, without a password.
        monotonic: Returns seconds that never go back.

    Attributes:
        succeeded_at: When each use last succeeded.
        reported: Not empty while the store is reported lost: call :meth:`recover` only then.
    """

    # Safe across a fork: each step is atomic, without a lock.
    def __init__(self, store: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._failing: set[str] = set()
        self._failed_at = -math.inf
        self.succeeded_at: dict[str, float] = {}
        self.reported: dict[bool, object] = {}

    @contextmanager
    def watched(self, use: str) -> Iterator[None]:
        """
        Report the outcome of an operation on the store.

        Args:
            use: A kind of operation that can fail separately, such as reading.
        """
        started_at = self._monotonic()
        try:
            yield
        except UnavailableError as error:
            self.lose(use, error, started_at=started_at)
            raise
        self.succeeded_at[use] = self._monotonic()
        if self.reported:
            self.recover(use)

    def lose(self, use: str, error: UnavailableError, *, started_at: float) -> None:
        """Report that the store is lost, if *error* means that."""
        if isinstance(error, DuplicateRowError) or isinstance(error.__cause__, PoolExhaustedError):
            return
        if started_at < self.succeeded_at.get(use, -math.inf):
            return  # another operation has succeeded since: the cause may be gone
        self._failing.add(use)
        self._failed_at = self._monotonic()
        mine = object()
        if self.reported.setdefault(True, mine) is mine:
            emit(Name.STORE_LOST, store=self._store, detail=str(error))

    def recover(self, use: str) -> None:
        """Report that the store is back, if a successful operation means that."""
        is_over = use in self._failing or self._monotonic() >= self._failed_at + QUIET_SECONDS
        if is_over and self.reported.pop(True, None) is not None:
            self._failing.clear()
            emit(Name.STORE_BACK, store=self._store)


def clean(value: object) -> str | float:
    """Escape and truncate a value from a client."""
    if isinstance(value, int | float):
        return value
    text = str(value)
    cut = text[:MAX_FIELD_CHARS]
    shown = cut if cut.isascii() and cut.isprintable() else _escaped(cut)
    return shown + "…" if len(text) > MAX_FIELD_CHARS else shown


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1].replace("\x7f", "\\u007f")


def _log(event: Event) -> None:
    fields = dict(event.fields)
    left_out = _bound.take_left_out(event.name)
    if left_out:
        fields["left_out"] = left_out
    line = " ".join((str(event.name), *(f"{key}={quoted(one)}" for key, one in fields.items())))
    logger.log(LEVELS[event.name], "%s", line, extra={"event": str(event.name), **fields})


def quoted(value: str | float) -> str:
    """Return a value escaped by :func:`clean` as a single word of a log line, quoted if needed."""
    text = str(value)
    if " " not in text and "=" not in text and '"' not in text:
        return text
    return f'"{escaped(text)}"'


def escaped(text: str) -> str:
    """Escape *text* for use between double quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


class LineFormatter(logging.Formatter):
    """One readable line: time in UTC, level, and the event with its fields."""

    converter: Callable[[float | None], time.struct_time] = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Format *record*; further lines, such as a traceback, are indented."""
        lines = map(in_one_line, super().format(record).splitlines())
        return "\n    ".join(lines)


class JSONFormatter(logging.Formatter):
    """One JSON object in a line: ``time``, ``level``, ``event`` or ``message``, and the fields."""

    converter: Callable[[float | None], time.struct_time] = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Format *record*."""
        at = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        members: dict[str, object] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname,
        }
        event = getattr(record, "event", None)
        if event is None:
            members["message"] = record.getMessage()
        else:
            members["event"] = event
            names = (*Fields.__annotations__, "left_out")
            members |= {name: vars(record)[name] for name in names if name in vars(record)}
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members)


_FORMATTERS: Final[Mapping[Format, type[logging.Formatter]]] = {
    "line": LineFormatter,
    "json": JSONFormatter,
}


class FallbackHandler(logging.StreamHandler[TextIO]):
    """Writes to stderr until the application configures logging."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*, unless a handler of the application also gets it."""
        if not _is_configured():
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Report on stderr that *record* was not written, unless stderr is closed."""
        with suppress(ValueError):
            super().handleError(record)


def _is_configured() -> bool:
    """Return whether a handler of the application gets what is logged here."""
    if logger.propagate and logging.root.handlers:
        return True
    return not all(isinstance(one, FallbackHandler) for one in logger.handlers)


def set_up(*, format: Format = "line", level: int = logging.INFO) -> None:  # noqa: A002
    """
    Log to stderr, if the application has not configured logging.

    :func:`logging.config.dictConfig` by default disables existing loggers that it does not name:
    this one is enabled again, so that refusals are logged.

    Args:
        format: Format of each line.
        level: Lowest logged level, unless the logger already has one.
    """
    logger.disabled = False
    if _is_configured():
        return
    ours = list(logger.handlers)
    for one in ours:  # a second app in this process, or a repeated call
        logger.removeHandler(one)
    handler = FallbackHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[format]())
    logger.addHandler(handler)
    if ours or logger.level == logging.NOTSET:
        logger.setLevel(level)
    _look_up_level()
