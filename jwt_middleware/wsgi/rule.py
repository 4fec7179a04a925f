"""What a rule asks for, and what one request must bring: that of one rule or of several."""

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
    Check that *mode* is one.

    Raises:
        ConfigurationError: It is not; the text begins with *prefix*.
    """
    if mode not in {"enforce", "report"}:
        raise ConfigurationError(f'{prefix}mode must be "enforce" or "report"')


@dataclass(frozen=True, slots=True)
class Rule:
    """
    What one path, or all below one, asks for.

    Args:
        path: An exact path; ``*`` stands for one segment; ``/admin/*`` covers ``/admin``,
            ``/admin/`` and all below; ``/admin*`` covers all that begins with ``/admin``.
        methods: The rule is only for these; ``GET`` covers ``HEAD``.  ``None`` is every method.
        access: ``"required"`` needs a token; ``"optional"`` and ``"public"`` do not, but a token
            that is sent must be good; ``"optional"`` also tells the app why there are no claims.
            ``"passthrough"`` leaves the ``Authorization`` header to the app, whatever it holds.
        scopes: The token must have all of these.
        scopes_any: The token must have one of these.
        claims: Claim name to the value, or a collection of values, that the token must have; of a
            claim that is an array, one member must fit.  A mapping in place of a value descends
            into the object of that name.
        claims_all: As *claims*; of a claim that is an array, every value must be a member.
        claims_prefix: Claim name to a prefix, or a collection of prefixes, that it begins with.
        claims_absent: Claims that the token must not have: names, or lists of names for those
            inside objects.
        preflight: Answer real CORS preflights for these requests without a token: as the
            middleware's :class:`~.cors.CORS` says, or else by the CORS headers of the app's answer.
        basic: A token may also come as the password of HTTP Basic, for clients that can send
            nothing else, where *path* names that of the request exactly.
        mode: ``"report"`` refuses nothing: the app is called, and an event says what the answer
            would have been.

    Raises:
        ConfigurationError: Something is misspelled, or contradicts itself.
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
        Return what the four settings of claims ask for.

        Raises:
            ConfigurationError: Something is misspelled, contradicts itself or can never match.
        """
        return claim_conditions(
            claims=self.claims,
            claims_all=self.claims_all,
            claims_prefix=self.claims_prefix,
            claims_absent=self.claims_absent,
        )

    def describe_preflight(self) -> str:
        """Return what :attr:`preflight` opens, for who starts a server or checks a file."""
        methods = "any method" if self.methods is None else ", ".join(sorted(self.methods))
        return (
            f"rule {self.path!r}: a CORS preflight for {methods} reaches the app without a token; "
            "only the CORS headers of its answer pass"
        )


@dataclass(frozen=True, slots=True)
class Requirement:
    """
    What one request must bring: one rule, or several that must all be satisfied.

    Attributes:
        access: Whether a token is needed.
        scopes: All that the token must have, sorted.
        scopes_any: Of each of these, the token must have one.
        claims: What the claims must be, all of which must hold.
        preflight: Whether a CORS preflight for this request needs no token.
        basic: Whether the token may be a Basic password, as far as the rules say.
        report_only: Whether the request is let through, whatever it brings.
        rules: Numbers of the rules that decided, counted from 1; empty where none did.
        asks: Whether a good token may lack something.
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
        """Return what a token would need besides, in words."""
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
    """Join what several rules require: all of them must be satisfied."""
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
