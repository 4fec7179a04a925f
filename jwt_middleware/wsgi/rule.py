"""Rules, and the requirement of one or several rules for a request."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from ..core.claim_path import ClaimCondition, claim_conditions, shown_path
from ..errors import ConfigurationError, InsufficientScopeError

if TYPE_CHECKING:
    from ..core.verifier import VerifiedToken

Access = Literal["passthrough", "public", "optional", "required"]
Mode = Literal["enforce", "report"]

_STRICTNESS: Final[Mapping[Access, int]] = {
    "passthrough": 0,
    "public": 1,
    "optional": 2,
    "required": 3,
}


def check_mode(mode: str, prefix: str = "") -> None:
    """
    Check a mode.

    Raises:
        ConfigurationError: *mode* is unknown; the text starts with *prefix*.
    """
    if mode not in {"enforce", "report"}:
        raise ConfigurationError(f'{prefix}mode must be "enforce" or "report"')


@dataclass(frozen=True, slots=True)
class Rule:
    """
    A rule for a path, or for all paths below it.

    Args:
        path: An exact path; ``*`` matches one segment; ``/admin/*`` covers ``/admin``, ``/admin/``
            and all below; ``/admin*`` covers every path that starts with ``/admin``.
        methods: Methods that the rule applies to; ``GET`` covers ``HEAD``.  ``None`` is all
            methods.
        access: ``"required"`` needs a token; ``"optional"`` and ``"public"`` do not, but a token
            that is sent must be valid; ``"optional"`` also tells the app why there are no claims.
            ``"passthrough"`` leaves the ``Authorization`` header to the app, whatever it holds.
        scopes: The token must have all of these.
        scopes_any: The token must have one of these.
        claims: Claim name to the required value or a collection of allowed values; of an array, one
            member must match.  A mapping instead of a value descends into the object of that name.
        claims_all: As *claims*, but an array must contain every value.
        claims_prefix: Claim name to the required prefix or a collection of allowed prefixes.
        claims_absent: Claims that the token must not have: names, or lists of names for those
            inside objects.
        preflight: Answer CORS preflights for these requests without a token: with the middleware's
            :class:`~.cors.CORS`, or else with the CORS headers of the app's response.
        basic: A token may also be sent as the HTTP Basic password, for clients that support only
            Basic, where *path* names the request's path exactly.
        mode: ``"report"`` refuses nothing: the app is called, and an event reports the refusal.

    Raises:
        ConfigurationError: A value is invalid or contradicts another.
    """

    path: str
    methods: Collection[str] | None = field(default=None, kw_only=True)
    access: Access = field(default="required", kw_only=True)
    scopes: Collection[str] = field(default=(), kw_only=True)
    scopes_any: Collection[str] | None = field(default=None, kw_only=True)
    claims: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    claims_all: Mapping[str, Any] | None = field(default=None, kw_only=True)
    claims_prefix: Mapping[str, Any] | None = field(default=None, kw_only=True)
    claims_absent: Collection[str | Sequence[str]] | None = field(default=None, kw_only=True)
    preflight: bool = field(default=False, kw_only=True)
    basic: bool = field(default=False, kw_only=True)
    mode: Mode = field(default="enforce", kw_only=True)

    def __post_init__(self) -> None:
        name = f"rule {self.path!r}"
        if self.access not in _STRICTNESS:
            raise ConfigurationError(
                f'{name}: access must be "required", "optional", "public" or "passthrough"'
            )
        check_mode(self.mode, f"{name}: ")
        for setting, values in (
            ("methods", self.methods),
            ("scopes", self.scopes),
            ("scopes_any", self.scopes_any),
        ):
            if isinstance(values, str) or not all(_is_word(value) for value in values or ()):
                raise ConfigurationError(f"{name}: {setting} must be a list of words")
        if self.methods is not None and not self.methods:
            raise ConfigurationError(f"{name}: methods is empty, leave it out for every method")
        for method in self.methods or ():
            if method != method.upper():
                raise ConfigurationError(f"{name}: write the method {method!r} in upper case")
        if self.scopes_any is not None and not self.scopes_any:
            raise ConfigurationError(f"{name}: scopes_any is empty, leave it out")
        try:
            conditions = self.claim_conditions()
        except ConfigurationError as error:
            raise ConfigurationError(f"{name}: {error}") from error
        self._check_contradictions(name, asks=bool(self.scopes or self.scopes_any or conditions))

    def _check_contradictions(self, name: str, *, asks: bool) -> None:
        if self.access != "required" and asks:
            raise ConfigurationError(
                f"{name}: access {self.access!r} needs no token, so it cannot ask for scopes or "
                'claims: use "required", or leave them out'
            )
        if type(self.basic) is not bool:
            raise ConfigurationError(f"{name}: basic must be true or false")
        if self.access == "passthrough" and self.basic:
            raise ConfigurationError(
                f'{name}: access "passthrough" leaves Authorization to the app: leave basic out'
            )

    def claim_conditions(self) -> tuple[ClaimCondition, ...]:
        """
        Return the conditions of the four claim settings.

        Raises:
            ConfigurationError: A setting is invalid, contradictory or can never match.
        """
        return claim_conditions(
            claims=self.claims,
            claims_all=self.claims_all,
            claims_prefix=self.claims_prefix,
            claims_absent=self.claims_absent,
        )

    def describe_preflight(self) -> str:
        """Return a warning about what :attr:`preflight` opens."""
        methods = "any method" if self.methods is None else ", ".join(sorted(self.methods))
        return (
            f"rule {self.path!r}: a CORS preflight for {methods} reaches the app without a token; "
            "only the CORS headers of its answer pass"
        )


@dataclass(frozen=True, slots=True)
class Requirement:
    """
    The requirement for a request: of one rule, or of several that must all be satisfied.

    Attributes:
        access: Whether a token is needed.
        scopes: Scopes that the token must all have, sorted.
        scopes_any: The token must have one scope of each of these sets.
        claims: Claim conditions that must all hold.
        preflight: Whether a CORS preflight for this request needs no token.
        basic: Whether the rules allow the token as a Basic password.
        report_only: Whether the request is never refused.
        rules: Numbers of the rules that decided, counted from 1; empty for the default.
        asks: Whether there are conditions beyond a valid token.
    """

    access: Access = "required"
    scopes: tuple[str, ...] = ()
    scopes_any: tuple[tuple[str, ...], ...] = ()
    claims: tuple[ClaimCondition, ...] = ()
    preflight: bool = False
    basic: bool = False
    report_only: bool = False
    rules: tuple[int, ...] = ()
    asks: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asks", bool(self.scopes or self.scopes_any or self.claims))

    def lacks(self, verified: VerifiedToken) -> list[str]:
        """Return what a token lacks, in words."""
        missing = [f"scope {scope}" for scope in self.scopes if scope not in verified.scopes]
        missing += [
            f"one of the scopes {', '.join(scopes)}"
            for scopes in self.scopes_any
            if verified.scopes.isdisjoint(scopes)
        ]
        missing += [
            f"claim {shown_path(condition.path)}: {condition}"
            for condition in self.claims
            if not condition.holds(verified.read_only_claims)
        ]
        return missing

    def check(self, verified: VerifiedToken) -> None:
        """
        Check that a token allows the request.

        Raises:
            InsufficientScopeError: It lacks a scope or a claim value.
        """
        if self.scopes and not verified.scopes.issuperset(self.scopes):
            raise InsufficientScopeError("a scope is missing", scope=self.scopes)
        for scopes in self.scopes_any:
            if verified.scopes.isdisjoint(scopes):
                raise InsufficientScopeError(
                    "one of several scopes is missing", scope=sorted({*self.scopes, *scopes})
                )
        for condition in self.claims:
            if not condition.holds(verified.read_only_claims):
                raise InsufficientScopeError(f"claim {shown_path(condition.path)} does not fit")


def all_of(requirements: Iterable[Requirement]) -> Requirement:
    """Combine the requirements of several rules: all must be satisfied."""
    different = list({id(one): one for one in requirements}.values())
    if len(different) == 1:
        return different[0]
    strictest = max(different, key=lambda one: _STRICTNESS[one.access])
    return Requirement(
        access=strictest.access,
        scopes=tuple(sorted({scope for one in different for scope in one.scopes})),
        scopes_any=tuple(scopes for one in different for scopes in one.scopes_any),
        claims=tuple(condition for one in different for condition in one.claims),
        basic=all(one.basic for one in different),
        report_only=all(one.report_only for one in different),
        rules=tuple(sorted({number for one in different for number in one.rules})),
    )


def _is_word(value: object) -> bool:
    return (
        isinstance(value, str)
        and value.isascii()
        and value.isprintable()
        and (bool(value) and not set(value) & {" ", '"', "\\", ","})
    )
