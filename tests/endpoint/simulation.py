"""
An hour or a day of guesses at one account, against the code that runs: only the clock is set.

``python -m tests.endpoint.simulation`` prints the table; with ``--day`` for a day.
"""

from __future__ import annotations

import heapq
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from jwt_middleware import LoginThrottle, MemorySessions
from jwt_middleware.endpoint.limits import ClientAddresses
from jwt_middleware.endpoint.logins import Credentials, Logins
from jwt_middleware.endpoint.subjects import Subjects
from jwt_middleware.errors import BadCredentialsError, TooManyAttemptsError

Address = IPv4Address | IPv6Address
Login = Callable[[Address, str], float]
"""Logs in with a secret; returns 0 for a success, -1 for a wrong secret, else the wait."""

HOUR: Final = 3_600.0
DAY: Final = 24 * HOUR
START: Final = 1_800_000_000.0
PATIENCE_SECONDS: Final = 15 * 60
HOME, ABROAD, DATA_CENTRE = map(ip_address, ("192.0.2.1", "203.0.113.77", "198.51.100.9"))
SERVICE_BURST: Final = 8


class Site:
    """Logins as they run, but for the clock; counts which guesses are compared with the secret."""

    def __init__(self) -> None:
        self.now = START
        self.guesses = 0
        self._logins = Logins(
            issuer="https://auth",
            verifiers={"email": self._verify},
            lookups={},
            subjects=Subjects({}, {}),
            throttle=LoginThrottle(MemorySessions(), clock=lambda: self.now),
            addresses=ClientAddresses(),
        )

    def log_in(self, address: Address, secret: str) -> float:
        environ = {"REMOTE_ADDR": str(address)}
        try:
            self._logins.verify("email", [Credentials("ann@example.com", secret)], environ)
        except TooManyAttemptsError as error:
            return error.retry_after_seconds
        except BadCredentialsError:
            return -1
        return 0

    def _verify(self, account: str, secret: str) -> object:
        if secret != "right":
            self.guesses += 1
            raise BadCredentialsError
        return {"uid": 1}


@dataclass(frozen=True)
class Attack:
    """
    Who guesses, from where and how fast.

    Attributes:
        name: For the table.
        addresses: The address of the n-th guess.
        guesses_per_second: On average.
        is_poisson: Whether the guesses come at random times.
    """

    name: str
    addresses: Callable[[int], Address]
    guesses_per_second: float = 1.0
    is_poisson: bool = False

    def times(self, seconds: float, random_: random.Random) -> Iterator[float]:
        now = 0.0
        while True:
            mean = 1 / self.guesses_per_second
            now += random_.expovariate(1 / mean) if self.is_poisson else mean
            if now >= seconds:
                return
            yield now


def spread(count: int) -> Callable[[int], Address]:
    """Return *count* IPv4 addresses all over the Internet."""
    return lambda number: IPv4Address(0x0B00_0000 + (number % count) * 0x2_3457)


def rotating(bits: int) -> Callable[[int], Address]:
    """Return ever new IPv6 prefixes of a /48, for 64 bits, or of a /32, for 48 bits."""
    first = int(IPv6Address("2001:db8::1"))
    return lambda number: IPv6Address(first + ((number % 0xFFFF) << (128 - bits)))


ATTACKS: Final = [
    Attack("1 address", spread(1)),
    Attack("1 address, one guess in 5 s", spread(1), guesses_per_second=0.2),
    Attack("100 addresses", spread(100)),
    Attack("10,000 addresses", spread(10_000)),
    Attack("10,000 addresses, Poisson", spread(10_000), is_poisson=True),
    Attack("rotating /64s of a /48", rotating(64)),
    Attack("rotating /48s of a /32, Poisson", rotating(48), is_poisson=True),
    Attack("the owner's own NAT", lambda _: HOME),
]


@dataclass
class Result:
    """
    What came of an attack.

    Attributes:
        guesses: How many were compared with the secret.
        at_home: Share of the owner's logins at a known address that succeed at the first try.
        abroad: Share of those from a new address that succeed within 15 minutes, waiting as told.
        service: Share of a service's logins, in bursts from its known address, the same way as
            at home.
    """

    guesses: int = 0
    at_home: float = 0.0
    abroad: float = 0.0
    service: float = 0.0


@dataclass(order=True)
class _Event:
    at: float
    order: int
    act: Callable[[], None] = field(compare=False)


def simulate(
    attack: Attack, site: Site, *, seconds: float, seed: int = 7, owner_abroad: bool = False
) -> Result:
    """
    Run an attack; the owner, who logged in before it, and a service log in beside it.

    Args:
        attack: The attack.
        site: What is attacked.
        seconds: How long.
        seed: Of what is random.
        owner_abroad: Whether the owner tries from new addresses, and not at home.
    """
    random_ = random.Random(seed)  # noqa: S311  the same in each run
    events: list[_Event] = []
    order = iter(range(10**9))
    home: list[bool] = []
    abroad: list[bool] = []
    service: list[bool] = []

    def plan(at: float, act: Callable[[], None]) -> None:
        heapq.heappush(events, _Event(at, next(order), act))

    def try_abroad(address: Address, since: float) -> None:
        wait = site.log_in(address, "right")
        now = site.now - START
        if wait == 0 or now + wait > since + PATIENCE_SECONDS:
            abroad.append(wait == 0)
        else:
            plan(now + wait, lambda: try_abroad(address, since))

    site.log_in(HOME, "right")
    site.log_in(DATA_CENTRE, "right")
    for number, at in enumerate(attack.times(seconds, random_)):
        address = attack.addresses(number)
        plan(at, lambda address=address: _ignore(site.log_in(address, "guess")))  # type: ignore[misc]
    for number in range(int(seconds / 600)):
        at = (number + random_.random()) * 600
        if owner_abroad:
            new = ABROAD + number * 0x1_0001
            plan(at, lambda new=new, at=at: try_abroad(new, at))  # type: ignore[misc]
        else:
            plan(at, lambda: home.append(site.log_in(HOME, "right") == 0))
        for _ in range(SERVICE_BURST):
            plan(at + 60, lambda: service.append(site.log_in(DATA_CENTRE, "right") == 0))
    while events:
        event = heapq.heappop(events)
        site.now = START + event.at
        event.act()
    return Result(site.guesses, _share(home), _share(abroad), _share(service))


def _ignore(_: object) -> None:
    """Do nothing with it."""


def _share(successes: list[bool]) -> float:
    return sum(successes) / len(successes) if successes else 0.0


def main() -> None:
    seconds = DAY if "--day" in sys.argv else HOUR
    sys.stdout.write("attack | guesses compared | owner at home | owner abroad | service\n")
    for attack in ATTACKS:
        home = simulate(attack, Site(), seconds=seconds)
        away = simulate(attack, Site(), seconds=seconds, owner_abroad=True)
        sys.stdout.write(
            f"{attack.name} | {max(home.guesses, away.guesses)} | {home.at_home:.0%} |"
            f" {away.abroad:.0%} | {home.service:.0%}\n"
        )


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
