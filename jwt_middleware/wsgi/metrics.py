"""
Metrics: plain integers in each process, exported for Prometheus.

What every request counts is an integer in a list, or in a file that the processes of a server
share; neither locks.  Everything else is counted from :mod:`~jwt_middleware.events`.  prometheus
itself is needed only to export.  No label has a value that a client chose.

Under several processes each has a file in a folder of its own, and any of them exports the sums
over all files.  Those of processes that ended are added up in one, so that no counter goes back and
the folder does not grow.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import mmap
import os
import re
import time
import weakref
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import events
from ..errors import AuthError, ConfigurationError, JWTMiddlewareError, UnavailableError
from ..events import Fields, Name
from ..files import read_regular, writing
from .unread import skip_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from ..core.verifier import TokenVerifier

logger: logging.Logger = logging.getLogger("jwt_middleware")

# The first three are counted by the middleware itself.
REMEMBERED: Final = 0
FIRST_SEEN: Final = 1
WITHOUT_TOKEN: Final = 2

BUCKETS_SECONDS: Final = (
    *(0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005),
    *(0.01, 0.02, 0.05, 0.1, 0.5, 1.0),
)
_MAX_LABEL_CHARS: Final = 200
_SLOT_BYTES: Final = 8
_LOCKED_SECONDS: Final = 1.0
_ENDED: Final = "jwt_middleware_ended.json"
# A link in a folder that others may write to would lead to a file that they may not.
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_FILE: Final = re.compile(r"jwt_middleware_([0-9]+)\.counts")


class Series(NamedTuple):
    """
    One integer.

    Attributes:
        name: Of the metric.
        labels: Names and values.
        kind: ``counter`` is added up over processes; ``gauge`` too, of those that live; of an
            ``oldest`` the smallest that is not 0 counts, a time in milliseconds.
    """

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    kind: str = "counter"


_HELP: Final[Mapping[str, str]] = {
    "requests": "Requests by outcome, code of the error, and whether the token was remembered.",
    "verification_seconds": "Time to verify a token that is not remembered.",
    "logins": "Login attempts by outcome.",
    "tokens": "What happened to tokens.",
    "sessions_ended": "Sessions that were ended.",
    "key_fetches": "Fetches of keys by outcome.",
    "keys_age_seconds": "Age of the keys of an issuer, the oldest of all processes.",
    "revocation_lag_seconds": "Since the store was last asked, the longest of all processes.",
    "revocations": "Revocations held, the most of all processes.",
    "store_errors": "Times that a store was lost.",
    "hasher_waiting": "Logins that wait for a hash, of all processes.",
}
_LOGINS: Final = {
    Name.LOGIN_SUCCEEDED: "succeeded",
    Name.LOGIN_FAILED: "failed",
    Name.LOGIN_LIMITED: "limited",
}
_TOKENS: Final = {
    Name.TOKEN_ISSUED: "issued",
    Name.TOKEN_REFRESHED: "refreshed",
    Name.TOKEN_REPEATED: "repeated",
    Name.TOKEN_REPLAYED: "replayed",
    Name.TOKEN_REVOKED: "revoked",
}
_FETCHES: Final = {
    Name.KEYS_FETCHED: "fetched",
    Name.KEYS_CHANGED: "changed",
    Name.KEYS_FAILED: "failed",
}
_OUTCOMES: Final = {
    Name.REQUEST_REFUSED: "refused",
    Name.REQUEST_REPORTED: "reported",
    Name.REQUEST_UNAVAILABLE: "unavailable",
}


def _codes(error: type[JWTMiddlewareError]) -> Iterator[str]:
    yield error.code
    for one in error.__subclasses__():
        yield from _codes(one)


def _requests(outcome: str, code: str, token: str) -> Series:
    return Series("requests", (("outcome", outcome), ("code", code), ("token", token)))


class Counts:
    """
    Integers of one process, by their place.

    Args:
        series: What they are.
        directory: Where to keep them for other processes; ``None`` keeps them in memory.

    Attributes:
        slots: One integer for each of *series*.
    """

    def __init__(self, series: Iterable[Series], directory: Path | None = None) -> None:
        self.series: tuple[Series, ...] = tuple(series)
        self.directory = directory
        self._places = {one: place for place, one in enumerate(self.series)}
        self.slots: MutableSequence[int] = []
        self._open()
        reopen = weakref.WeakMethod(self._open)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: (again := reopen()) and again())

    def add(self, series: Series, amount: int = 1) -> None:
        """Add to the integer of *series*, if it is one of ours."""
        place = self._places.get(series)
        if place is not None:
            self.slots[place] += amount

    def set(self, series: Series, value: int) -> None:
        """Set the integer of *series*."""
        self.slots[self._places[series]] = value

    def read_all(self) -> dict[Series, int]:
        """Return the integers of all processes, joined as their kinds say."""
        if self.directory is not None:
            try:
                return self._read_folder(self.directory)
            except OSError as error:  # it is gone, or its mode was changed
                logger.error("counts of other processes are left out: %s", error)  # noqa: TRY400  one line
        return _joined(zip(self.series, self.slots, strict=True))

    def _read_folder(self, directory: Path) -> dict[Series, int]:
        with _alone_in(directory) as is_alone:
            if is_alone:
                with contextlib.suppress(OSError):  # of a full disk; then they stay as they are
                    _join_ended(directory)
            ended = _Ended.read(directory)
            files = (file for file in _files(directory) if file.name not in ended.files)
            return _joined(chain(ended.counters.items(), *map(_read, files)))

    def _open(self) -> None:
        """Begin at 0, or where an earlier process of the same number ended."""
        self.slots = [0] * len(self.series)
        if self.directory is None:
            return
        try:
            with writing(self.directory), _alone_in(self.directory) as is_alone:
                if is_alone:
                    with contextlib.suppress(OSError):  # of a full disk; then they stay as they are
                        _join_ended(self.directory)
                self.slots = self._mapped(self.directory)
        except ConfigurationError as error:  # counts are not worth a service that does not start
            logger.error("this process is not counted: %s", error)  # noqa: TRY400  one line

    def _mapped(self, directory: Path) -> MutableSequence[int]:
        head = json.dumps([[one.name, one.labels, one.kind] for one in self.series]).encode()
        head += b" " * (-(len(head) + 1) % _SLOT_BYTES) + b"\n"
        file = directory / f"jwt_middleware_{os.getpid()}.counts"
        size = len(head) + _SLOT_BYTES * len(self.series)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600)
        try:
            if os.pread(descriptor, len(head), 0) != head:
                os.ftruncate(descriptor, 0)
                # All of it: to write where a file has a hole, on a full disk, is a SIGBUS.
                if os.pwrite(descriptor, head.ljust(size, b"\0"), 0) < size:
                    os.ftruncate(descriptor, 0)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            mapped = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        slots = memoryview(mapped)[len(head) :].cast("Q")
        for place, one in enumerate(self.series):
            if one.kind != "counter":
                slots[place] = 0
        return slots  # type: ignore[return-value]


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[bool]:
    """Keep other processes and threads from a folder; yield whether they are, after a second."""
    try:
        import fcntl  # noqa: PLC0415  POSIX alone
    except ImportError:
        yield False
        return
    file = directory / "jwt_middleware.lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600)
    deadline = time.monotonic() + _LOCKED_SECONDS
    try:
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.002)
        else:
            yield False
            return
        yield True
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a process forked meanwhile has it open as well
    finally:
        os.close(descriptor)


class _Ended(NamedTuple):
    """
    What processes that ended have counted, in one file.

    Attributes:
        counters: Their sums.
        files: Those that are counted here: one that is still there is to be removed.
    """

    counters: Mapping[Series, int]
    files: frozenset[str]

    @classmethod
    def read(cls, directory: Path) -> _Ended:
        try:
            members = json.loads(read_regular(directory / _ENDED)[1])
            counters = {_series(*named): value for *named, value in members["counters"]}
            return cls(counters, frozenset(members["files"]))
        except (OSError, ValueError, TypeError, LookupError):  # there is none yet
            return cls({}, frozenset())

    def write(self, directory: Path) -> None:
        members = {
            "counters": [[*one, value] for one, value in self.counters.items()],
            "files": sorted(self.files),
        }
        new = directory / f"{_ENDED}.new"
        new.unlink(missing_ok=True)
        new.touch(0o600, exist_ok=False)
        new.write_text(json.dumps(members))
        new.replace(directory / _ENDED)


def _join_ended(directory: Path) -> None:
    """
    Add the files of processes that ended up in one.

    Whatever breaks this off, no count is lost, and none is added twice.
    """
    ended = _Ended.read(directory)
    if ended.files:  # broken off
        ended = _remove(ended, directory)
    gone = [file for file in _files(directory) if not _lives(_pid_of(file))]
    if not gone:
        return
    counters = dict(ended.counters)
    for series, value in chain.from_iterable(map(_read, gone)):
        if series.kind == "counter":
            counters[series] = counters.get(series, 0) + value
    ended = _Ended(counters, frozenset(file.name for file in gone))
    ended.write(directory)
    _remove(ended, directory)


def _remove(ended: _Ended, directory: Path) -> _Ended:
    for name in ended.files:
        (directory / name).unlink(missing_ok=True)
    # Another process may get the number of one of them.
    ended = ended._replace(files=frozenset())
    ended.write(directory)
    return ended


def _joined(values: Iterable[tuple[Series, int]]) -> dict[Series, int]:
    joined: dict[Series, int] = {}
    for series, value in values:
        if series not in joined:
            joined[series] = value
        elif series.kind == "oldest":
            joined[series] = min(joined[series] or value, value or joined[series])
        elif series.kind == "most":
            joined[series] = max(joined[series], value)
        else:
            joined[series] += value
    return {one: value for one, value in joined.items() if value or one.kind != "oldest"}


def _files(directory: Path) -> list[Path]:
    return sorted(file for file in directory.iterdir() if _FILE.fullmatch(file.name))


def _pid_of(file: Path) -> int:
    match = _FILE.fullmatch(file.name)
    return int(match[1]) if match else 0


def _read(file: Path) -> list[tuple[Series, int]]:
    """Return what a process has counted: nothing, if it ended before it could."""
    try:
        head, _, rest = read_regular(file)[1].partition(b"\n")
        values = memoryview(rest).cast("Q")
        return [(_series(*one), value) for one, value in zip(json.loads(head), values, strict=True)]
    except (OSError, ValueError, TypeError):
        return []


def _series(name: str, labels: Iterable[tuple[str, str]], kind: str) -> Series:
    return Series(name, tuple((key, text) for key, text in labels), kind)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # of another user
        return True
    return True


class Metrics:
    """
    Counts what the middleware does, from now on.

    Args:
        directory: A folder for the integers of several processes, emptied before the server starts;
            ``None`` counts one process.
        issuers: The *iss* of each issuer whose keys have an age.

    Attributes:
        counts: The integers.

    Raises:
        ConfigurationError: *directory* is no folder that can be written to.
    """

    def __init__(
        self, *, directory: str | os.PathLike[str] | None = None, issuers: Iterable[str] = ()
    ) -> None:
        folder = None if directory is None else Path(directory)
        if folder is not None and not os.access(f"{folder}/", os.W_OK):
            raise ConfigurationError(f"directory {str(folder)!r} is no folder to write to: make it")
        self._ages = {
            issuer: Series("keys_age_seconds", (("issuer", issuer[:_MAX_LABEL_CHARS]),), "oldest")
            for issuer in issuers
        }
        self.counts: Counts = Counts((*_fixed_series(), *self._ages.values()), folder)
        self._sample: Callable[[], Iterable[tuple[Series, int]]] = tuple
        self._end = events.count(self._heed)

    def close(self) -> None:
        """Count no more events."""
        self._end()

    def observe(self, seconds: float) -> None:
        """Count the verification of a token that was not remembered."""
        place = bisect_left(BUCKETS_SECONDS, seconds)
        self.counts.add(_BUCKETS[place])
        self.counts.add(_SUM, int(seconds * 1e9))

    def watch(
        self,
        verifier: TokenVerifier,
        *,
        lag: Callable[[], float] | None = None,
        held: Callable[[], int] | None = None,
        waiting: Callable[[], int] | None = None,
    ) -> None:
        """
        Take the gauges of *verifier* with each event, and when they are exported.

        Args:
            verifier: Whose keys have an age.
            lag: Returns the seconds since the store of revocations answered.
            held: Returns how many revocations are held.
            waiting: Returns how many logins wait for a hash.
        """

        def sample() -> Iterator[tuple[Series, int]]:
            now = time.time()
            for trusted in verifier.trusted.values():
                age = getattr(trusted.keys, "age_seconds", None)
                series = self._ages.get(trusted.issuer)
                if series is not None and age is not None:
                    yield series, int((now - age) * 1000)
            if lag is not None and (behind := lag()) < now:
                yield _LAG, int((now - behind) * 1000)
            if held is not None:
                yield _HELD, held()
            if waiting is not None:
                yield _WAITING, waiting()

        self._sample = sample
        verifier.observe = self.observe

    def _heed(self, name: Name, fields: Fields) -> None:
        code = fields.get("reason", "")
        if name in _OUTCOMES:
            self.counts.add(_requests(_OUTCOMES[name], code, ""))
        elif name in _LOGINS:
            self.counts.add(Series("logins", (("outcome", _LOGINS[name]),)))
        elif name in _TOKENS:
            self.counts.add(Series("tokens", (("event", _TOKENS[name]),)))
        elif name in _FETCHES:
            self.counts.add(Series("key_fetches", (("outcome", _FETCHES[name]),)))
        elif name is Name.SESSION_ENDED:
            self.counts.add(Series("sessions_ended"))
        elif name is Name.STORE_LOST:
            self.counts.add(Series("store_errors"))
        self._take_gauges()

    def _take_gauges(self) -> None:
        for series, value in self._sample():
            self.counts.set(series, value)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, as a collector of prometheus-client does: register this with one."""
        from prometheus_client.metrics_core import (  # noqa: PLC0415  an extra
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        self._take_gauges()
        values = self.counts.read_all()
        by_name: dict[str, dict[Series, int]] = {}
        for series, value in values.items():
            by_name.setdefault(series.name, {})[series] = value
        buckets = by_name.pop("verification_bucket", {})
        total = by_name.pop("verification_sum", {}).get(_SUM, 0)
        yield HistogramMetricFamily(
            "jwt_middleware_verification_seconds",
            _HELP["verification_seconds"],
            buckets=_cumulated(buckets),
            sum_value=total / 1e9,
        )
        now = time.time()
        for name, known in by_name.items():
            first = next(iter(known))
            names = [label for label, _ in first.labels]
            make = CounterMetricFamily if first.kind == "counter" else GaugeMetricFamily
            family = make(f"jwt_middleware_{name}", _HELP[name], labels=names)
            for series, value in known.items():
                shown = max(0.0, now - value / 1000) if series.kind == "oldest" else value
                family.add_metric([text for _, text in series.labels], shown)
            yield family

    def register(self, registry: CollectorRegistry) -> None:
        """Export to a registry of the application."""
        registry.register(self)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a scrape, as a WSGI app."""
        from prometheus_client import CollectorRegistry, make_wsgi_app  # noqa: PLC0415  an extra

        registry = CollectorRegistry()
        registry.register(self)
        app = make_wsgi_app(registry, disable_compression=True)
        if environ["REQUEST_METHOD"] == "HEAD":  # which that app refuses
            app({**environ, "REQUEST_METHOD": "GET"}, start_response)
            return skip_body(environ, [])
        return skip_body(environ, app(environ, start_response))


_BUCKETS: Final = tuple(
    Series("verification_bucket", (("le", f"{bound}"),)) for bound in (*BUCKETS_SECONDS, "+Inf")
)
_SUM: Final = Series("verification_sum")
_LAG: Final = Series("revocation_lag_seconds", kind="oldest")
_HELD: Final = Series("revocations", kind="most")
_WAITING: Final = Series("hasher_waiting", kind="gauge")


def _fixed_series() -> Iterator[Series]:
    for token in ("remembered", "first seen", "none"):
        yield _requests("allowed", "", token)
    for outcome in ("refused", "reported"):
        for code in dict.fromkeys(_codes(AuthError)):
            yield _requests(outcome, code, "")
    for outcome in ("unavailable", "reported"):
        yield _requests(outcome, UnavailableError.code, "")
    for outcome in _LOGINS.values():
        yield Series("logins", (("outcome", outcome),))
    for event in _TOKENS.values():
        yield Series("tokens", (("event", event),))
    for outcome in _FETCHES.values():
        yield Series("key_fetches", (("outcome", outcome),))
    yield Series("sessions_ended")
    yield Series("store_errors")
    yield from _BUCKETS
    yield from (_SUM, _LAG, _HELD, _WAITING)


def _cumulated(buckets: Mapping[Series, int]) -> list[tuple[str, float]]:
    total, cumulated = 0, []
    for series in _BUCKETS:
        total += buckets.get(series, 0)
        cumulated.append((series.labels[0][1], float(total)))
    return cumulated
