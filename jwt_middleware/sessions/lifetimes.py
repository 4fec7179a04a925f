"""How long sessions and what they hold are good for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..core.trust import MAX_LEEWAY_SECONDS
from ..errors import ConfigurationError

DEFAULT_REFRESH_LIFETIME_SECONDS: Final = 14 * 86_400
DEFAULT_MAX_LIFETIME_SECONDS: Final = 90 * 86_400
DEFAULT_GRACE_SECONDS: Final = 10.0
MAX_GRACE_SECONDS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """
    Durations in seconds.

    Attributes:
        token_lifetime_seconds: Of an access token.
        refresh_lifetime_seconds: Of a refresh token, and with it of the session, from each use on;
            at least that of an access token.
        max_lifetime_seconds: Of the session, however often it is refreshed; at least the other.
        grace_seconds: 0 to :data:`MAX_GRACE_SECONDS`.

    Raises:
        ConfigurationError: One is something else.
    """

    token_lifetime_seconds: int
    refresh_lifetime_seconds: int = DEFAULT_REFRESH_LIFETIME_SECONDS
    max_lifetime_seconds: int = DEFAULT_MAX_LIFETIME_SECONDS
    grace_seconds: float = DEFAULT_GRACE_SECONDS

    def __post_init__(self) -> None:
        for name, other in (
            ("refresh_lifetime_seconds", "token_lifetime_seconds"),
            ("max_lifetime_seconds", "refresh_lifetime_seconds"),
        ):
            value, least = getattr(self, name), getattr(self, other)
            if type(value) is not int or value < least:
                shown = other.removeprefix("token_")
                raise ConfigurationError(
                    f"{name} must be a whole number, at least {shown} ({least})"
                )
        if type(self.grace_seconds) not in {int, float} or not (
            0 <= self.grace_seconds <= MAX_GRACE_SECONDS
        ):
            raise ConfigurationError(f"grace_seconds must be 0 to {MAX_GRACE_SECONDS}")

    def token_seconds(self, *, now: float, expires_at: float) -> int:
        """Return how long an access token of a session that expires then may be good for."""
        return max(1, min(self.token_lifetime_seconds, int(expires_at - now)))

    def tokens_until(self, *, now: float, expires_at: float) -> float:
        """Return when an access token issued now is accepted nowhere any more, leeway included."""
        return now + self.token_seconds(now=now, expires_at=expires_at) + MAX_LEEWAY_SECONDS
