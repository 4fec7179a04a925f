"""
Which requests need a token, and what it must allow.

Rules are tried in order on method and path; the first match decides; a path that no rule names
needs a token.  A rule that relaxes is read narrowly and one that restricts is read generously, so
that no other spelling of a path is less protected than the path itself: see :mod:`.paths`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from ..core.claim_path import ClaimCondition, claim_conditions, shown_path
from ..errors import ConfigurationError, InsufficientScopeError, InvalidRequestError
from .paths import Pattern, read_path

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from ..core.verified import VerifiedToken

Access = Literal["public", "optional", "required"]

REMEMBERED_DECISIONS: Final = 1024
MAX_REMEMBERED_CHARS: Final = 512
MAX_PATH_CHARS: Final = 8192
"""Longer paths are refused unread; most servers let no longer one in."""

# Frameworks that act on these do so behind us: then it is the other method that they run.
_OVERRIDE_KEYS: Final = (
    "HTTP_X_HTTP_METHOD_OVERRIDE",
    "HTTP_X_HTTP_METHOD",
    "HTTP_X_METHOD_OVERRIDE",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """
    What one path, or all below one, asks for.

    Args:
        path: An exact path; ``*`` stands for one segment; ``/admin/*`` covers ``/admin``,
            ``/admin/`` and all below.
        methods: The rule is only for these; ``GET`` covers ``HEAD``.  ``None`` is every method.
        access: ``"required"`` needs a token; ``"optional"`` and ``"public"`` do not, but a token
            that is sent must be good; ``"optional"`` also tells the app why there are no claims.
        scopes: The token must have all of these.
        scopes_any: The token must have one of these.
        claims: Claim name to the value, or a collection of values, that the token must have; of a
            claim that is an array, one member must fit.  A mapping in place of a value descends
            into the object of that name.
        claims_all: As *claims*; of a claim that is an array, every value must be a member.
        claims_prefix: Claim name to a prefix, or a collection of prefixes, that it begins with.
        claims_absent: Claims that the token must not have: names, or lists of names for those
            inside objects.
        preflight: Let real CORS preflights for these requests through without a token.

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

    def __post_init__(self) -> None:
        name = f"rule {self.path!r}"
        if self.access not in {"public", "optional", "required"}:
            raise ConfigurationError(f'{name}: access must be "public", "optional" or "required"')
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
        if self.access != "required" and (self.scopes or self.scopes_any or conditions):
            raise ConfigurationError(
                f"{name}: access {self.access!r} needs no token, so it cannot ask for scopes or "
                'claims: use "required", or leave them out'
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
    """

    access: Access = "required"
    scopes: tuple[str, ...] = ()
    scopes_any: tuple[tuple[str, ...], ...] = ()
    claims: tuple[ClaimCondition, ...] = ()
    preflight: bool = False

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


_STRICTNESS: Final[Mapping[Access, int]] = {"public": 0, "optional": 1, "required": 2}
_DEFAULT: Final = Requirement()
_PUBLIC: Final = Requirement(access="public")


class Policy:
    """
    Rules in order.

    Args:
        rules: Tried in this order; without any, every request needs a token.

    Raises:
        ConfigurationError: Something else than rules, or a path that no request can have.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        given = tuple(rules)
        if not all(isinstance(rule, Rule) for rule in given):
            raise ConfigurationError(
                "rules must be Rule objects, as in Policy([Rule('/health', …)])"
            )
        self._rules = tuple(map(_CompiledRule, given))
        self._allows_preflight = any(rule.requirement.preflight for rule in self._rules)
        self._reads_methods = self._allows_preflight or any(
            rule.methods is not None for rule in self._rules
        )
        self._remembered = lru_cache(REMEMBERED_DECISIONS)(self._decide_afresh)

    def requirement(self, environ: WSGIEnvironment) -> Requirement:
        """
        Return what the request in *environ* must bring.

        Raises:
            InvalidRequestError: The path is longer than :data:`MAX_PATH_CHARS`.
        """
        if not self._rules:
            return _DEFAULT
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        if self._reads_methods and not environ.keys().isdisjoint(_OVERRIDE_KEYS):
            overrides = (environ[key].strip() for key in _OVERRIDE_KEYS if key in environ)
            # What is no longer OPTIONS behind us is no preflight.
            return self._decide_afresh(path, method, *overrides)
        if method == "OPTIONS" and self._allows_preflight:
            # https://fetch.spec.whatwg.org/#cors-preflight-fetch
            wanted = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
            if wanted and environ.get("HTTP_ORIGIN") and self._decide(path, wanted).preflight:
                return _PUBLIC
        return self._decide(path, method)

    def _decide(self, path: str, method: str) -> Requirement:
        if len(path) > MAX_REMEMBERED_CHARS:
            return self._decide_afresh(path, method)
        return self._remembered(path, method)

    def _decide_afresh(self, path: str, *methods: str) -> Requirement:
        if len(path) > MAX_PATH_CHARS:
            raise InvalidRequestError("the path is too long")
        readings = read_path(path)
        requirements = [
            self._first(method, text, canonical=readings.canonical)
            for method in methods
            for text in readings.texts
        ]
        return requirements[0] if len(requirements) == 1 else _all_of(requirements)

    def _first(self, method: str, text: str, *, canonical: bool) -> Requirement:
        for index, rule in enumerate(self._rules):
            if not rule.relaxes:
                if rule.restricts(method, text, folded=not canonical):
                    return rule.requirement
            elif canonical and rule.relaxes_for(method, text):
                # A path that some app may take for a restricted one is not relaxed.
                for earlier in self._rules[:index]:
                    if not earlier.relaxes and earlier.restricts(method, text, folded=True):
                        return earlier.requirement
                return rule.requirement
        return _DEFAULT


class _CompiledRule:
    def __init__(self, rule: Rule) -> None:
        self.pattern = Pattern(rule.path)
        self.relaxes = rule.access != "required"
        self.methods = None if rule.methods is None else frozenset(rule.methods)
        if self.methods is not None and "GET" in self.methods:
            self.methods |= {"HEAD"}
        self.requirement = Requirement(
            access=rule.access,
            scopes=tuple(sorted(set(rule.scopes))),
            scopes_any=() if rule.scopes_any is None else (tuple(sorted(set(rule.scopes_any))),),
            claims=rule.claim_conditions(),
            preflight=rule.preflight,
        )

    def relaxes_for(self, method: str, text: str) -> bool:
        """Method and path are the rule's, character by character."""
        return (self.methods is None or method in self.methods) and self.pattern.names(text)

    def restricts(self, method: str, text: str, *, folded: bool = False) -> bool:
        """Method and path could be taken for the rule's: frameworks put methods in upper case."""
        return (self.methods is None or method.upper() in self.methods) and (
            self.pattern.covers(text, folded=folded)
        )


def _all_of(requirements: Iterable[Requirement]) -> Requirement:
    """Join what several readings of a request require: all of them must be satisfied."""
    different = list({id(one): one for one in requirements}.values())
    strictest = max(different, key=lambda one: _STRICTNESS[one.access])
    return Requirement(
        access=strictest.access,
        scopes=tuple(sorted({scope for one in different for scope in one.scopes})),
        scopes_any=tuple(scopes for one in different for scopes in one.scopes_any),
        claims=tuple(condition for one in different for condition in one.claims),
    )


def _is_word(value: object) -> bool:
    return (
        isinstance(value, str)
        and value.isascii()
        and value.isprintable()
        and (bool(value) and not set(value) & {" ", '"', "\\", ","})
    )
