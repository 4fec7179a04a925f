"""Health checks: readiness and liveness probes for proxies and orchestrators."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from ..core.verifier import TokenVerifier
from ..errors import ConfigurationError, MethodNotAllowedError, UnavailableError
from ..events import clean, logger
from ..fork import PerProcess
from ..keysources.remote.refreshing import RefreshedKeys
from ..sessions import Revocations, Sessions
from ..sessions.store import TIMEOUT_SECONDS
from .paths import is_plain
from .responses import Responses, send_json

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


REMEMBERED_SECONDS: Final = 1.0
"""How long a report is cached, which bounds the load of probes on stores."""
OVERDUE_SECONDS: Final = 10.0
"""A check that takes longer counts as failed."""

Check = Callable[[], object]

_NOT_CHECKED: Final = "not checked"
_MEMBERS: Final = frozenset({"status", "revocations_age_seconds"})


class _Report(NamedTuple):
    """
    The result of a check.

    Attributes:
        reasons: Part to the reason why it is unavailable; empty if it is available.
        age_seconds: Time since the revocations were read; ``None`` before that.
        is_checked: Whether there was a check yet.
    """

    reasons: Mapping[str, str]
    age_seconds: int | None = None
    is_checked: bool = True


class _Last:
    """The last report of a process, and until when it is cached."""

    def __init__(self, report: _Report) -> None:
        self.report = report
        self.until = -math.inf
        self.lock = threading.Lock()


class Health:
    """
    Answers probes at two paths, without a token.

    *path* is readiness: 200 if requests and logins can be decided, else 503; its JSON only names
    the unavailable parts, the log has the reasons.  *live_path* is liveness: 200 while the worker
    responds.  It checks no parts, since a restart does not repair a store.

    A worker checks at most once a second, in one request at a time.  Each part has its own
    deadline, and none is started more than a second after the first.

    Args:
        verifier: Its issuers must have keys.
        sessions: Their store must accept a write transaction and return its revocations.  A full
            disk shows only at the next login.
        revocations: Followed instead, for the store of another service.
        parts: Additional parts by name; each is called without arguments and raises if unavailable.
        path: Path of readiness.
        live_path: Path of liveness; by default *path* and ``/live``.
        responses: Style of the responses to methods other than GET and HEAD.
        monotonic: Returns seconds that never go back.

    Raises:
        ConfigurationError: A path is invalid, or a part is not callable.
    """

    def __init__(
        self,
        *,
        verifier: TokenVerifier,
        sessions: Sessions | None = None,
        revocations: Revocations | None = None,
        parts: Mapping[str, Check] = MappingProxyType({}),
        path: str = "/health",
        live_path: str | None = None,
        responses: Responses | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.live_path: str = f"{path.rstrip('/')}/live" if live_path is None else live_path
        for name, one in (("path", path), ("live_path", self.live_path)):
            if not one.isascii() or "*" in one or one == "/" or not is_plain(one):
                raise ConfigurationError(f"{name} {one!r} must be one path, like /health")
        if path == self.live_path:
            raise ConfigurationError("live_path must be another path than path")
        self._verifier = verifier
        self._revocations = revocations if sessions is None else sessions.revocations
        self._is_of_one_process = sessions is not None and sessions.store.single_process
        self._checks: dict[str, Check] = {"keys": self._check_keys}
        if self._revocations is not None:
            self._checks["revocations"] = self._revocations.current
        if sessions is not None:
            # Ends a session that does not exist: a write transaction without changes.
            self._checks["sessions"] = partial(_write_nothing, sessions)
        for name, check in parts.items():
            if not callable(check) or name in {*self._checks, *_MEMBERS}:
                raise ConfigurationError(f"parts.{name} must be callable, with a unique name")
            self._checks[name] = check
        self._responses = responses if responses is not None else Responses()
        self._monotonic = monotonic
        self._unknown = _Report(dict.fromkeys(self._checks, _NOT_CHECKED), is_checked=False)
        self._last = PerProcess(lambda: _Last(self._unknown))

    @property
    def paths(self) -> Iterable[str]:
        """The exact values of ``PATH_INFO`` that it answers."""
        return self.path, self.live_path

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one probe."""
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            refused = MethodNotAllowedError(allowed=["GET", "HEAD"])
            return self._responses.refuse(refused, environ, start_response)
        if environ.get("PATH_INFO") == self.live_path:
            return send_json(environ, start_response, 200, (), {"status": "live"})
        return self._answer(self._report(), environ, start_response)

    def _answer(
        self, report: _Report, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        reasons = {**report.reasons}
        if environ.get("wsgi.multiprocess") and self._is_of_one_process:
            reasons["sessions"] = "sessions in memory are not shared with the other workers"
        is_ready = not any(reasons.values())
        members: dict[str, object] = {"status": "ready" if is_ready else "unavailable"}
        members |= {part: _word_for(why) for part, why in reasons.items()}
        if self._revocations is not None:
            members["revocations_age_seconds"] = report.age_seconds
        headers = [] if is_ready else [("Retry-After", "1")]
        return send_json(environ, start_response, 200 if is_ready else 503, headers, members)

    def _report(self) -> _Report:
        """Return the last report, or a new one if it expired and no other request is checking."""
        last, now = self._last.get(), self._monotonic()
        if now >= last.until and last.lock.acquire(blocking=False):
            try:
                report = self._check()
                _log_change(last.report, report)
                last.report, last.until = report, self._monotonic() + REMEMBERED_SECONDS
            finally:
                last.lock.release()
        return last.report if now < last.until + OVERDUE_SECONDS else self._unknown

    def _check(self) -> _Report:
        reasons = {**self._unknown.reasons}
        deadline = self._monotonic() + TIMEOUT_SECONDS
        for part, check in self._checks.items():
            if self._monotonic() < deadline:  # otherwise the rest is not checked
                reasons[part] = _reason_of(check)
        age = math.inf if self._revocations is None else self._revocations.seconds_behind()
        return _Report(reasons, None if age == math.inf else int(age))

    def _check_keys(self) -> None:
        for trusted in self._verifier.trusted.values():
            keys = trusted.keys
            # The first fetch may outlast a probe: the next probe sees its result.
            keys.peek() if isinstance(keys, RefreshedKeys) else keys.current()


def _word_for(reason: str) -> str:
    if reason == _NOT_CHECKED:
        return reason
    return "unavailable" if reason else "ok"


def _write_nothing(sessions: Sessions) -> None:
    sessions.store.end("health", issuer=sessions.issuer.issuer, now=time.time())


def _reason_of(check: Check) -> str:
    try:
        check()
    except UnavailableError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  the application's parts may raise anything
        return type(error).__name__  # its text may contain a secret
    return ""


def _log_change(before: _Report, report: _Report) -> None:
    failing = {part: why for part, why in report.reasons.items() if why}
    if before.is_checked and failing.keys() == {p for p, why in before.reasons.items() if why}:
        return
    if failing:
        lines = "; ".join(f"{part}: {clean(why)}" for part, why in failing.items())
        logger.warning("not ready: %s", lines)
    else:
        logger.info("ready")
