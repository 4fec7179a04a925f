"""Operation: ``[logging]``, ``[metrics]``, ``[health]`` and ``[serve]``."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from .. import events
from ..accounts.identity import NumberedAccounts
from ..bounds import check_whole
from ..endpoint.app import TokenEndpoint
from ..errors import ConfigurationError
from ..events import DEFAULT_MAX_PER_SECOND, Format, Listener, Name
from ..wsgi.middleware import JWTMiddleware
from ..wsgi.policy import Policy
from ..wsgi.rule import Rule
from .callables import find, takes
from .reading import Place, Section, choice, flag, setting, text, texts, whole

if TYPE_CHECKING:
    from ..accounts.sql import SQLAccounts
    from ..sessions import Revocations, Sessions
    from ..wsgi.metrics import Metrics

Level = Literal["debug", "info", "warning", "error"]

METRICS_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable of prometheus-client with the folder for metrics of several processes."""

MAX_WORKERS: Final = 1024
MAX_PER_SECOND: Final = 10_000


class LoggingSettings(Section):
    """
    ``[logging]``: used if the application has not configured logging; see docs/events.md.

    Attributes:
        format: A text line, or a JSON object, for each event.
        level: The lowest level that is logged.
        max_per_second: Maximum lines of each event, 1 to 10,000; the rest is counted.
        on_event: Function called with each event, ``"myapp.audit:record"``.
    """

    format: Format = setting(choice("line", "json"), "line")
    level: Level = setting(choice("debug", "info", "warning", "error"), "info")
    max_per_second: int = setting(whole, DEFAULT_MAX_PER_SECOND)
    on_event: str | None = setting(text, None)

    def check(self) -> Listener | None:
        """
        Check the settings, and return the *on_event* function.

        Raises:
            ConfigurationError: A setting is unusable, or the function does not exist.
        """
        with self.place.named_by_member():
            check_whole("max_per_second", self.max_per_second, 1, MAX_PER_SECOND)
        if self.on_event is None:
            return None
        place = self.place.member("on_event")
        listener: Listener = find(f"{place.file}: {place.name}:", self.on_event)
        if inspect.iscoroutinefunction(listener) or not takes(listener, None):
            raise place.error("must be a plain function of one argument, the event")
        return listener

    def start(self) -> None:
        """
        Start to log and to call *on_event*.

        Raises:
            ConfigurationError: As for :meth:`check`.
        """
        listener = self.check()
        events.limit(self.max_per_second)
        events.set_up(format=self.format, level=getattr(logging, self.level.upper()))
        if listener is not None:
            events.listen(listener)
        events.emit(Name.CONFIGURATION_LOADED, file=str(self.place.file))


class MetricsSettings(Section):
    """
    ``[metrics]``: Prometheus metrics; needs the extra ``metrics``; see docs/metrics.md.

    Attributes:
        path: Path of the export; by default the application exports them with its own registry.
        access: Whether ``path`` needs a token.
        scopes: Scopes that ``path`` requires.
        directory: Folder for the metrics of several processes, by default
            ``PROMETHEUS_MULTIPROC_DIR``; ``jwt-middleware serve`` creates one.
    """

    path: str | None = setting(text, None)
    access: Literal["required", "public"] = setting(choice("required", "public"), "required")
    scopes: tuple[str, ...] = setting(texts, ())
    directory: str | None = setting(text, None)

    def build(self, issuers: Mapping[str, object], environ: Mapping[str, str]) -> Metrics:
        """
        Build the metrics.

        Raises:
            ConfigurationError: A setting is unusable, or the extra ``metrics`` is not installed.
        """
        from ..wsgi.metrics import Metrics  # noqa: PLC0415  only where it is used

        try:
            import prometheus_client  # noqa: F401, PLC0415  an extra
        except ModuleNotFoundError as error:
            raise self.place.missing(error, extra="metrics") from error
        named = environ.get(METRICS_DIRECTORY) or None
        if self.directory is not None:
            named = str(self.place.file.parent / self.directory)
        with self.place.named_by_member():
            return Metrics(directory=named, issuers=issuers)

    def policy(self) -> Policy:
        """
        Return the policy of *path*.

        Raises:
            ConfigurationError: It is not a path, or public with scopes.
        """
        with self.place.named():
            policy = Policy([Rule(self.path or "", access=self.access, scopes=self.scopes)])
        if "*" in (self.path or ""):
            raise self.place.member("path").error("must be one path, without *")
        return policy

    def connect(
        self, metrics: Metrics, protected: JWTMiddleware, revocations: Revocations | None
    ) -> None:
        """
        Connect *metrics* to the parts of *protected*, and mount *path*.

        Raises:
            ConfigurationError: *path* is taken, or unusable.
        """
        accounts = _accounts_of(protected.endpoint)
        metrics.watch(
            protected.verifier,
            lag=None if revocations is None else revocations.seconds_behind,
            held=None if revocations is None else revocations.__len__,
            waiting=None if accounts is None else lambda: accounts.waiting,
        )
        if self.path is None:
            return
        guarded = JWTMiddleware(
            metrics,
            verifier=protected.verifier,
            policy=self.policy(),
            responses=protected.responses,
        )
        with self.place.named_by_member():
            protected.mount(self.path, guarded)


def _accounts_of(endpoint: object) -> SQLAccounts | None:
    """Return the accounts of ``[accounts]``, if the endpoint uses them."""
    verifiers = endpoint.verifiers.values() if isinstance(endpoint, TokenEndpoint) else ()
    for verify in verifiers:
        accounts = getattr(getattr(verify, "func", None), "__self__", None)
        if isinstance(accounts, NumberedAccounts):
            return cast("SQLAccounts", accounts)
    return None


class HealthSettings(Section):
    """
    ``[health]``: paths for health probes; off without this table.

    Attributes:
        path: Path of readiness: 200 if requests and logins can be handled now, else 503; its JSON
            names the unavailable parts.
        live_path: Path of liveness, which checks nothing; by default *path* and ``/live``.
    """

    path: str = setting(text, example='path = "/health"')
    live_path: str | None = setting(text, None)

    def connect(
        self,
        protected: JWTMiddleware,
        sessions: Sessions | None,
        revocations: Revocations | None,
    ) -> None:
        """
        Mount the health probes.

        Raises:
            ConfigurationError: A path is taken, or unusable.
        """
        from ..wsgi.health import Health  # noqa: PLC0415  only where it is used

        accounts = _accounts_of(protected.endpoint)
        with self.place.named_by_member():
            health = Health(
                verifier=protected.verifier,
                sessions=sessions,
                revocations=revocations,
                parts={} if accounts is None else {"accounts": lambda: accounts.find(0)},
                path=self.path,
                live_path=self.live_path,
                responses=protected.responses,
            )
        for name, path in (("path", health.path), ("live_path", health.live_path)):
            with self.place.member(name).named():
                protected.mount(path, health)


def _options(value: object, place: Place) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise place.error("must be a table of gunicorn's settings")
    for key, member in value.items():
        if key in {"bind", "workers", "threads"}:
            raise place.member(key).error(f"is a setting of [serve]: write serve.{key}")
        if not re.fullmatch("[a-z][a-z_]*", key):
            raise place.member(key).error("is not a setting of gunicorn")
        if isinstance(member, str):
            text(member, place.member(key))
        elif type(member) is int:
            whole(member, place.member(key))
        elif not isinstance(member, bool):
            raise place.member(key).error("must be a string, a whole number, true or false")
    return value


# "unix:" path / "fd://" number / [ host ] [ ":" port ], an IPv6 address in brackets.
# On Linux, the path of a socket has at most 107 octets.
_BIND: Final = (
    r"unix:[^,]{1,107}|fd://[0-9]{1,4}"
    r"|(?:tcp://)?(?:\[[0-9A-Fa-f:.]+\]|[\w.-]*)(?::(?P<port>[0-9]{1,5}))?"
)
_MAX_PORT: Final = 65_535


def check_bind(bind: str) -> None:
    """
    Check the address of a server; several are separated by commas.

    Raises:
        ConfigurationError: It is not a valid address.
    """
    for one in bind.split(","):
        found = re.fullmatch(_BIND, one.strip(), re.ASCII)
        if found is None or int(found["port"] or 0) > _MAX_PORT:
            raise ConfigurationError(
                f"bind {one!r} must be HOST:PORT or unix:PATH; a port must be 0 to {_MAX_PORT}"
            )


class ServeSettings(Section):
    """
    ``[serve]``: defaults for the options of ``jwt-middleware serve``.

    Attributes:
        bind: Address and port, or ``unix:`` and the path of a socket.
        workers: Number of processes, up to 1,024.
        threads: Threads of each worker, up to 1,024.
        access_log: Log a line for each request, with the subject of its token.
        preload: Build the app once, before the workers are forked: less memory, faster starts.
        gunicorn: Further settings, by gunicorn's names, ``{ timeout = 30 }``.
    """

    bind: str = setting(text, "127.0.0.1:8000")
    workers: int = setting(whole, 2)
    threads: int = setting(whole, 1)
    access_log: bool = setting(flag, default=True)
    preload: bool = setting(flag, default=True)
    gunicorn: Mapping[str, Any] | None = setting(_options, None)

    def check(self) -> None:
        """
        Check the address and the numbers.

        Raises:
            ConfigurationError: One of them is out of bounds.
        """
        with self.place.named_by_member():
            check_bind(self.bind)
            check_whole("workers", self.workers, 1, MAX_WORKERS)
            check_whole("threads", self.threads, 1, MAX_WORKERS)
