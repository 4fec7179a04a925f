"""When keys are fetched, and for how long they are good."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from typing import Final

from ...bounds import check_seconds
from ...errors import ConfigurationError

FIRST_RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """
    When keys are fetched, and for how long they are good; all in seconds.

    Attributes:
        max_stale_seconds: How long after it was fetched a set is still good, if no later fetch
            succeeds.  At least *min_refresh_seconds*.
        cooldown_seconds: Time between two fetches for the sake of an unknown *kid*.
        wait_seconds: How long a request waits for a fetch, if it needs what it may bring.
        min_refresh_seconds: The shortest *max-age* that is believed, above 0.
        max_refresh_seconds: The longest one.
        default_refresh_seconds: Taken for a *max-age* that is absent.

    Raises:
        ConfigurationError: One is no finite number, negative, or contradicts another.
    """

    max_stale_seconds: float = 86_400
    cooldown_seconds: float = 30
    wait_seconds: float = 2.0
    min_refresh_seconds: float = 60
    max_refresh_seconds: float = 86_400
    default_refresh_seconds: float = 600

    def __post_init__(self) -> None:
        for one in fields(self):
            check_seconds(one.name, getattr(self, one.name))
        if not 0 < self.min_refresh_seconds <= self.max_refresh_seconds:
            raise ConfigurationError(
                "min_refresh_seconds must be above 0 and at most max_refresh_seconds"
            )
        if self.max_stale_seconds < self.min_refresh_seconds:
            raise ConfigurationError("max_stale_seconds must be at least min_refresh_seconds")

    def refresh_after(self, max_age_seconds: float | None) -> float:
        """
        Return how long after a fetch the next one is due, somewhat before what it brought expires.

        The chance in it keeps many processes from asking at the same moment.

        Args:
            max_age_seconds: What the answer said, if it did.
        """
        age = self.default_refresh_seconds if max_age_seconds is None else max_age_seconds
        age = min(max(age, self.min_refresh_seconds), self.max_refresh_seconds)
        early = age * random.uniform(0.8, 0.95)  # noqa: S311  nothing secret
        return min(max(early, self.min_refresh_seconds), self.max_stale_seconds)


def retry_after(failures: int) -> float:
    """
    Return how long to wait after so many failures in a row, at least 1.

    From :data:`FIRST_RETRY_SECONDS`, twice as long each time, to :data:`LONGEST_RETRY_SECONDS`;
    up to a quarter more by chance.
    """
    seconds = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 30), LONGEST_RETRY_SECONDS)
    return seconds * random.uniform(1.0, 1.25)  # noqa: S311  nothing secret
