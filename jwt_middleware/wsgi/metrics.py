"""
Prometheus metrics, kept as plain integers in each process.

The middleware counts each request; everything else is counted from :mod:`~jwt_middleware.events`.
prometheus-client is needed only for export.  No label value comes from a client.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .. import events
from ..errors import AuthError, ConfigurationError, JWTMiddlewareError, UnavailableError
from ..events import Fields, Name
from .counts import Counts, Series
from .unread import skip_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from ..core.verifier import TokenVerifier

BUCKETS_SECONDS: Final = (
    *(0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005),
    *(0.01, 0.02, 0.05, 0.1, 0.5, 1.0),
)
_MAX_LABEL_CHARS: Final = 200

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


class Metrics:
    """
    Counts the middleware's decisions and events.

    Args:
        directory: A folder shared by the server's processes, to be emptied before it starts;
            ``None`` counts one process.
        issuers: The *iss* of each issuer with fetched keys, for their age.

    Attributes:
        counts: The integers.

    Raises:
        ConfigurationError: *directory* is not a writable folder.
    """

    def __init__(
        self, *, directory: str | os.PathLike[str] | None = None, issuers: Iterable[str] = ()
    ) -> None:
        folder = None if directory is None else Path(directory)
        if folder is not None and not os.access(f"{folder}/", os.W_OK):
            raise ConfigurationError(
                f"directory {str(folder)!r} is not a writable folder: create it"
            )
        self._ages = {
            issuer: Series("keys_age_seconds", (("issuer", issuer[:_MAX_LABEL_CHARS]),), "oldest")
            for issuer in issuers
        }
        self.counts: Counts = Counts((*_fixed_series(), *self._ages.values()), folder)
        self._sample: Callable[[], Iterable[tuple[Series, int]]] = tuple
        self._end = events.count(self._count_event)

    def close(self) -> None:
        """Stop counting events."""
        self._end()

    def observe(self, seconds: float) -> None:
        """Record the duration of verifying a token that was not cached."""
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
        Sample the gauges of *verifier* with each event and at each export.

        Args:
            verifier: Its key sources have an age.
            lag: Returns the seconds since the revocation store responded.
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

    def _count_event(self, name: Name, fields: Fields) -> None:
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
        """Yield the metrics: the collector protocol of prometheus-client."""
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
        """Register as a collector of *registry*."""
        registry.register(self)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a scrape, as a WSGI app."""
        from prometheus_client import CollectorRegistry, make_wsgi_app  # noqa: PLC0415  an extra

        registry = CollectorRegistry()
        registry.register(self)
        app = make_wsgi_app(registry, disable_compression=True)
        if environ["REQUEST_METHOD"] == "HEAD":  # the app of prometheus-client refuses HEAD
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
    # The first three are counted by index: REMEMBERED, FIRST_SEEN and WITHOUT_TOKEN.
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
