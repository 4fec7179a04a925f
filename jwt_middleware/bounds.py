"""Check constructor arguments: numbers in range, known names."""

from __future__ import annotations

from collections.abc import Collection

from .errors import ConfigurationError


def check_whole(
    name: str, value: object, minimum: int, maximum: int | None = None, *, note: str = ""
) -> None:
    """
    Check that *value* is an ``int``, and ``minimum <= value <= maximum``.

    Args:
        name: The parameter's name, at the start of the error.
        value: The argument; a ``bool`` is refused.
        minimum: Smallest accepted value.
        maximum: Largest accepted value; ``None`` for no limit.
        note: Appended to the error.

    Raises:
        ConfigurationError: The check fails.
    """
    if type(value) is not int or value < minimum or (maximum is not None and value > maximum):
        accepted = _range(minimum, maximum)
        raise ConfigurationError(f"{name} must be a whole number{accepted}{note}")


def check_seconds(
    name: str, value: object, minimum: float = 0, maximum: float | None = None
) -> None:
    """
    Check that *value* is a finite ``int`` or ``float``, and ``minimum <= value <= maximum``.

    Args:
        name: The parameter's name, at the start of the error.
        value: The argument; a ``bool`` is refused.
        minimum: Smallest accepted value.
        maximum: Largest accepted value; ``None`` for any finite number.

    Raises:
        ConfigurationError: The check fails.
    """
    most = float("inf") if maximum is None else maximum
    if (
        (type(value) is not int and type(value) is not float)
        or not minimum <= value <= most  # false of a NaN
        or value == float("inf")
    ):
        accepted = _range(minimum, maximum)
        raise ConfigurationError(f"{name} must be a number of seconds{accepted}")


def did_you_mean(name: str, known: Collection[str], otherwise: str) -> str:
    """Return a hint for an unknown *name*: the closest one of *known*, or *otherwise*."""
    from difflib import get_close_matches  # noqa: PLC0415  saves a millisecond at start

    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else otherwise


def _range(minimum: float, maximum: float | None) -> str:
    return f", at least {minimum}" if maximum is None else f" from {minimum} to {maximum}"
