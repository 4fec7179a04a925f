"""Claim paths: find scopes, and check the claim conditions of rules."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from ..errors import ConfigurationError
from .scope import split

ClaimPath: TypeAlias = tuple[str, ...]
"""The names that lead to a claim, one for each object.  A name can contain dots, like a URL."""

ClaimName: TypeAlias = str | Sequence[str]
"""A claim in settings: its name, or the list of names that lead to it."""

Claims: TypeAlias = Mapping[str, object]

MISSING: Final = object()
"""Returned by :func:`find_claim` for an absent claim; ``null`` is not absent."""

# Claims that every accepted token has, and their types (RFC 7519 §4.1).
_REQUIRED: Final = frozenset({"iss", "exp"})
_STRINGS: Final = frozenset({"iss", "sub", "jti"})
_NUMBERS: Final = frozenset({"exp", "nbf", "iat"})


def parse_path(value: object, setting: str) -> ClaimPath:
    """
    Parse a claim path: a string is one name, a list of strings descends.

    Raises:
        ConfigurationError: It is of another type, or empty.
    """
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise ConfigurationError(
            f'{setting} must be the name of a claim, or a path such as ["realm_access", "roles"]'
        )
    if not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(f"{setting} must be made of non-empty names of claims")
    return tuple(names)


def parse_paths(value: object, setting: str) -> tuple[ClaimPath, ...]:
    """
    Parse a list of claim paths, each as for :func:`parse_path`.

    Raises:
        ConfigurationError: It is not a list of paths, or empty.
    """
    if not isinstance(value, list | tuple) or not value:
        raise ConfigurationError(f'{setting} must be a list of claims, as in ["scp", ["a", "b"]]')
    return tuple(parse_path(one, setting) for one in value)


def find_claim(claims: Claims, path: ClaimPath) -> object:
    """Return the value at *path*, or :data:`MISSING`.  It only descends into objects."""
    value = claims.get(path[0], MISSING)
    if len(path) == 1:
        return value
    for name in path[1:]:
        if not isinstance(value, dict):
            return MISSING
        value = value.get(name, MISSING)
    return value


class ScopePlace(NamedTuple):
    """
    The location of scopes in the claims.

    Attributes:
        path: Path of the claim.
        keys: Whether the scopes are the keys of an object, like Zitadel's roles.
    """

    path: ClaimPath
    keys: bool = False


def parse_scopes_from(value: object) -> tuple[ScopePlace, ...]:
    """
    Parse the setting *scopes_from*: paths, or mappings with ``claim`` and ``keys``.

    Raises:
        ConfigurationError: It is of another type, or empty.
    """
    if not isinstance(value, list | tuple) or not value:
        raise ConfigurationError(
            'scopes_from must be a list of claims, as in ["scope", ["realm_access", "roles"]]'
        )
    return tuple(map(_scope_place, value))


def _scope_place(value: object) -> ScopePlace:
    if not isinstance(value, Mapping):
        return ScopePlace(parse_path(value, "scopes_from"))
    if not value.keys() <= {"claim", "keys"} or not isinstance(value.get("keys", False), bool):
        raise ConfigurationError('scopes_from: a table is { claim = "…", keys = true }')
    return ScopePlace(parse_path(value.get("claim"), "scopes_from"), value.get("keys", False))


def scopes_of(claims: Claims, places: Iterable[ScopePlace] | None = None) -> frozenset[str]:
    """
    Return the scopes of a token.

    A string is split at spaces (RFC 8693 §4.2).  Members of an array are not split, so that
    ``["read", "x admin"]`` does not grant ``admin``.  An object grants its keys if
    :attr:`ScopePlace.keys` is set.  Anything else grants nothing.

    Args:
        claims: Verified claim set.
        places: All of them are read; ``None`` reads the first present one of *scope* and *scp*.
    """
    if places is None:
        value = claims.get("scope", MISSING)
        return frozenset(_granted(claims.get("scp") if value is MISSING else value))
    granted: set[str] = set()
    for path, keys in places:
        value = find_claim(claims, path)
        if not keys:
            granted.update(_granted(value))
        elif isinstance(value, dict):
            granted.update(value)
    return frozenset(granted - {""})


def _granted(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return split(value)
    if isinstance(value, list):
        return (one for one in value if isinstance(one, str) and one)
    return ()


class ClaimCondition(Protocol):
    """A rule's condition on one claim."""

    @property
    def path(self) -> ClaimPath:
        """The path of the claim."""

    def holds(self, claims: Claims) -> bool:
        """Return whether the claims satisfy the condition."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The claim is one of *values*, or an array with one of them."""

    path: ClaimPath
    values: tuple[object, ...]

    def holds(self, claims: Claims) -> bool:
        """Return whether the claims satisfy the condition."""
        claim = find_claim(claims, self.path)
        members = claim if isinstance(claim, list) else (claim,)
        return any(_same(member, value) for member in members for value in self.values)


@dataclass(frozen=True, slots=True)
class AllOf:
    """The claim is an array with all of *values*, or equals the only one."""

    path: ClaimPath
    values: tuple[object, ...]

    def holds(self, claims: Claims) -> bool:
        """Return whether the claims satisfy the condition."""
        claim = find_claim(claims, self.path)
        members = claim if isinstance(claim, list) else (claim,)
        return all(any(_same(member, value) for member in members) for value in self.values)


@dataclass(frozen=True, slots=True)
class BeginsWith:
    """The claim is a string that starts with one of *prefixes*, or an array with such a string."""

    path: ClaimPath
    prefixes: tuple[str, ...]

    def holds(self, claims: Claims) -> bool:
        """Return whether the claims satisfy the condition."""
        claim = find_claim(claims, self.path)
        members = claim if isinstance(claim, list) else (claim,)
        return any(isinstance(one, str) and one.startswith(self.prefixes) for one in members)


@dataclass(frozen=True, slots=True)
class Absent:
    """The claim is absent.  ``null`` is not absent."""

    path: ClaimPath

    def holds(self, claims: Claims) -> bool:
        """Return whether the claims satisfy the condition."""
        return find_claim(claims, self.path) is MISSING


def claim_conditions(
    *,
    claims: object = None,
    claims_all: object = None,
    claims_prefix: object = None,
    claims_absent: object = None,
) -> tuple[ClaimCondition, ...]:
    """
    Parse the claim conditions of a rule, all of which must hold.

    In the mappings, a nested mapping descends into the object of that name.

    Args:
        claims: Claim to a value, or a collection of which one must match.
        claims_all: Claim to a collection of which all must match.
        claims_prefix: Claim to a prefix, or a collection of which one must match.
        claims_absent: List of paths.

    Raises:
        ConfigurationError: A setting is invalid, contradictory or can never match.
    """
    wanted: list[ClaimCondition] = [
        *(AnyOf(path, values) for path, values in _leaves("claims", claims)),
        *(AllOf(path, values) for path, values in _leaves("claims_all", claims_all)),
        *(
            BeginsWith(path, _prefixes(path, values))
            for path, values in _leaves("claims_prefix", claims_prefix)
        ),
    ]
    absent = () if claims_absent is None else parse_paths(claims_absent, "claims_absent")
    for path in absent:
        if path[0] in _REQUIRED:
            raise ConfigurationError(f"claims_absent: every token has {shown_path(path)}")
        for condition in wanted:
            if condition.path[: len(path)] == path:
                raise ConfigurationError(
                    f"claims_absent forbids {shown_path(condition.path)}, which the rule asks for"
                )
    for condition in wanted:
        _check_registered(condition)
    return (*wanted, *map(Absent, absent))


def shown_path(path: ClaimPath) -> str:
    """Format a path for errors and ``check``."""
    return ".".join(name if "." not in name else f'"{name}"' for name in path)


def _leaves(
    setting: str, table: object, above: ClaimPath = ()
) -> Iterator[tuple[ClaimPath, tuple[object, ...]]]:
    """Yield the path and the values of each claim in a mapping of mappings."""
    if table is None:
        return
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{setting} must map claim names to values")
    if not table and above:
        raise ConfigurationError(f"{setting}: the table {shown_path(above)} is empty")
    for name, value in table.items():
        path = above + parse_path(name, setting)
        if isinstance(value, Mapping):
            yield from _leaves(setting, value, path)
        else:
            yield path, _values(setting, path, value)


def _values(setting: str, path: ClaimPath, value: Any) -> tuple[object, ...]:
    several = isinstance(value, list | tuple | set | frozenset)
    values = tuple(value) if several else (value,)
    if not values:
        raise ConfigurationError(f"{setting}: the list for {shown_path(path)} is empty")
    for one in values:
        if one is not None and not isinstance(one, str | int | float):
            raise ConfigurationError(
                f"{setting}: {shown_path(path)} must be a string, number, boolean or a list of them"
            )
        if isinstance(one, float) and not math.isfinite(one):
            raise ConfigurationError(f"{setting}: {shown_path(path)} can never be {one}")
    return values


def _prefixes(path: ClaimPath, values: tuple[object, ...]) -> tuple[str, ...]:
    prefixes = tuple(value for value in values if isinstance(value, str) and value)
    if len(prefixes) != len(values):
        raise ConfigurationError(
            f"claims_prefix: {shown_path(path)} must be a non-empty string or a list of them"
        )
    return prefixes


def _check_registered(condition: ClaimCondition) -> None:
    """Reject conditions that a registered claim can never satisfy, because of its type."""
    name = condition.path[0]
    if name not in _STRINGS | _NUMBERS:
        return
    kind = "string" if name in _STRINGS else "number"
    values: Collection[object] = getattr(condition, "values", ("",))
    if len(condition.path) > 1 or not all(_is_kind(value, kind) for value in values):
        raise ConfigurationError(f"{name} is always a {kind}: the rule can never match")
    if isinstance(condition, AllOf) and len(set(values)) > 1:
        raise ConfigurationError(f"{name} has one value: claims_all can never match")


def _is_kind(value: object, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(member: object, value: object) -> bool:
    return type(member) is type(value) and member == value  # a JSON true is not 1
