"""What came of load.py, and its table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """
    What came of it.

    Attributes:
        seconds: For which requests were sent.
        rotations: Of the ring.
        broken: Connections that ended without an answer.
        statuses: Requests by kind of token, whether that is good, and status.
        milliseconds: How long the requests of each kind took.
        workers: Those that accepted a token of the trusted issuer.
        fetches: Of the JWKS endpoint, by its state.
        server_log: What gunicorn and the app wrote.
    """

    seconds: float = 0
    rotations: int = 0
    broken: int = 0
    statuses: Counter[tuple[str, bool, int]] = field(default_factory=Counter)
    milliseconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    workers: set[bytes] = field(default_factory=set)
    fetches: dict[str, int] = field(default_factory=dict)
    server_log: str = ""

    @property
    def requests(self) -> int:
        return self.statuses.total()

    @property
    def wrongly_rejected(self) -> int:
        return self._count(lambda good, status: good and status != 200)

    @property
    def wrongly_accepted(self) -> int:
        return self._count(lambda good, status: not good and status == 200)

    @property
    def server_errors(self) -> int:
        return self._count(lambda _, status: status >= 500)

    @property
    def unexpected(self) -> int:
        return self._count(lambda good, status: status != (200 if good else 401))

    @property
    def failed_fetches(self) -> int:
        return self.server_log.count("keys.failed")

    def _count(self, counts: Callable[[bool, int], bool]) -> int:
        return sum(n for (_, good, status), n in self.statuses.items() if counts(good, status))

    def __str__(self) -> str:
        lines = [f"{'tokens':<32}{'sent':>8}{'200':>8}{'401':>8}{'else':>6}  p50/p99/max ms"]
        for kind in sorted(self.milliseconds):
            by_status = {s: n for (k, _, s), n in self.statuses.items() if k == kind}
            sent, times = sum(by_status.values()), sorted(self.milliseconds[kind])
            ok, refused = by_status.get(200, 0), by_status.get(401, 0)
            p50, p99 = (times[int(len(times) * part)] for part in (0.5, 0.99))
            lines.append(
                f"{kind:<32}{sent:>8}{ok:>8}{refused:>8}{sent - ok - refused:>6}"
                f"  {p50:.1f}/{p99:.1f}/{times[-1]:.0f}"
            )
        fetches = ", ".join(f"{n} {state}" for state, n in self.fetches.items())
        return "\n".join(
            [
                *lines,
                "",
                f"requests           {self.requests} in {self.seconds:.1f} s",
                f"requests a second  {self.requests / self.seconds:.0f}",
                f"wrongly rejected   {self.wrongly_rejected}",
                f"wrongly accepted   {self.wrongly_accepted}",
                f"5xx                {self.server_errors}",
                f"unexpected status  {self.unexpected}",
                f"broken connections {self.broken}",
                f"workers            {len(self.workers)}",
                f"ring rotations     {self.rotations}",
                f"JWKS fetches seen  {fetches}",
                f"failed fetches     {self.failed_fetches}",
            ]
        )
