"""
Which requests need a token, and what it must allow.

Rules are tried in order on method and path; the first match decides; a path that no rule names
needs a token.  A rule that relaxes is read narrowly and one that restricts is read generously, so
that no other way to say a request is less protected: :mod:`.request` reads which methods and paths
it may mean, :mod:`.paths` how each path can be read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from ..core.claim_path import ClaimCondition, claim_conditions, shown_path
from ..errors import ConfigurationError, InsufficientScopeError, InvalidRequestError
from .paths import Budget, Found, Pattern, PatternTree, folded_segments, read_path
from .preflight import requested_method
from .request import (
    WATCHED_KEYS,
    Target,
    check_script_name,
    encoded_slash,
    is_form,
    levels_below,
    methods_in_query,
    read_request,
    with_implied,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from ..core.verifier import VerifiedToken

Access = Literal["passthrough", "public", "optional", "required"]
Mode = Literal["enforce", "report"]

REMEMBERED_DECISIONS: Final = 1024
REMEMBERED_JOINS: Final = 128
MAX_REMEMBERED_CHARS: Final = 512
OTHER_METHOD: Final = "OTHER"
"""Stands for each method that no rule names."""


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
    """

    access: Access = "required"
    scopes: tuple[str, ...] = ()
    scopes_any: tuple[tuple[str, ...], ...] = ()
    claims: tuple[ClaimCondition, ...] = ()
    preflight: bool = False
    basic: bool = False
    report_only: bool = False
    rules: tuple[int, ...] = ()

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


_STRICTNESS: Final[Mapping[Access, int]] = {
    "passthrough": 0,
    "public": 1,
    "optional": 2,
    "required": 3,
}
_DEFAULT: Final = Requirement()
PREFLIGHT: Final = Requirement(access="public", preflight=True)
"""Of a CORS preflight that needs no token, and of whose answer only the CORS headers may pass."""


class Policy:
    """
    Rules in order.

    Args:
        rules: Tried in this order; without any, every request needs a token.
        prefix: What one's own proxy cuts off each path and says in a header, as
            ``X-Forwarded-Prefix: /api``; the same in every request.
        form_method_override: The app takes a method from a field of a form: a request with a form
            counts as every method.
        recursive_methods: Methods like DELETE and COPY act on all below a path: rules that restrict
            a path below count for them.

    Raises:
        ConfigurationError: Something else than rules, or a path that no request can have.
    """

    def __init__(
        self,
        rules: Iterable[Rule] = (),
        *,
        prefix: str = "",
        form_method_override: bool = False,
        recursive_methods: bool = True,
    ) -> None:
        given = tuple(rules)
        if not all(isinstance(rule, Rule) for rule in given):
            raise ConfigurationError(
                "rules must be Rule objects, as in Policy([Rule('/health', …)])"
            )
        if not isinstance(prefix, str) or (prefix and not _is_prefix(prefix)):
            raise ConfigurationError("prefix must be a path without a slash at its end, as in /api")
        self.rules = given
        self._prefix = prefix
        self._recursive = recursive_methods
        self._rules = tuple(_CompiledRule(number, one) for number, one in enumerate(given, start=1))
        self._exact, self._covering = PatternTree(), PatternTree()
        for number, rule in enumerate(self._rules):
            self._exact.add(number, rule.pattern.segments, rule.pattern.kind)
            if not rule.relaxes:
                self._covering.add(number, rule.pattern.folded, rule.pattern.kind)
        named = {method for rule in self._rules for method in rule.methods or ()}
        self._allows_preflight = any(rule.requirement.preflight for rule in self._rules)
        self._reads_methods = bool(named) or recursive_methods
        self._methods_in_form = (*sorted(named), OTHER_METHOD) if form_method_override else ()
        self._requirements = (*(rule.requirement for rule in self._rules), _DEFAULT)
        self._restricting = {
            method: {n for n, rule in enumerate(self._rules) if rule.restricts(method)}
            for method in {"", "HEAD", *named}
        }
        self._remembered = lru_cache(REMEMBERED_DECISIONS)(self._decide_afresh)
        self._join = lru_cache(REMEMBERED_JOINS)(self._join_afresh)
        self._remembered_plain = lru_cache(REMEMBERED_DECISIONS)(self._decide_plain)

    def paths_of(self, requirement: Requirement) -> str:
        """Return the paths of the rules that decided, for a log."""
        return ", ".join(self.rules[number - 1].path for number in requirement.rules)

    def requirement(self, environ: WSGIEnvironment) -> Requirement:
        """
        Return what the request in *environ* must bring.

        Raises:
            InvalidRequestError: It contradicts itself, or is too long or has too many meanings to
                be read.
        """
        return self.decide(environ, plain=WATCHED_KEYS.isdisjoint(environ))

    def decide(self, environ: WSGIEnvironment, *, plain: bool) -> Requirement:
        """Do the same; *plain* is whether *environ* has none of :data:`.request.WATCHED_KEYS`."""
        if not self._rules:
            if not plain:
                check_script_name(environ, self._prefix)
            return _DEFAULT
        if (
            plain
            and not (("RAW_URI" in environ or "REQUEST_URI" in environ) and encoded_slash(environ))
            and not (self._reads_methods and self._says_method_again(environ))
        ):
            method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
            if len(path) <= MAX_REMEMBERED_CHARS and method != "OPTIONS":
                return self._remembered_plain(path, method)
        targets = self.targets(environ)
        if len(targets) == 1:
            return self._preflight(targets[0], environ) or self._join(self._decide(targets[0]))
        return self._join(frozenset().union(*map(self._decide, targets)))

    def targets(self, environ: WSGIEnvironment) -> list[Target]:
        """
        Return the resources that a request names, as they are read where rules decide.

        Raises:
            InvalidRequestError: As for :meth:`requirement`.
        """
        return read_request(environ, prefix=self._prefix, methods=self._in_form(environ))

    def _says_method_again(self, environ: WSGIEnvironment) -> bool:
        query = environ.get("QUERY_STRING")
        return bool((query and methods_in_query(query)) or self._in_form(environ))

    def _in_form(self, environ: WSGIEnvironment) -> tuple[str, ...]:
        return self._methods_in_form if self._methods_in_form and is_form(environ) else ()

    def _preflight(self, target: Target, environ: WSGIEnvironment) -> Requirement | None:
        wanted = requested_method(environ)
        if wanted is None or not self._allows_preflight or target.methods != ("OPTIONS",):
            return None  # what is no longer OPTIONS behind us is no preflight
        own = self._join(self._decide(target))
        if own.access != "required" and not own.preflight:
            return own
        numbers = self._decide(target._replace(methods=(wanted,)))
        if numbers <= self._naming_itself(target) and self._all_open(numbers):
            return PREFLIGHT
        return own

    def _all_open(self, numbers: frozenset[int]) -> bool:
        return all(self._requirements[number].preflight for number in numbers)

    def takes_basic(self, environ: WSGIEnvironment) -> bool:
        """
        Tell whether a token may be a Basic password: all rules that decide say so.

        As all that relaxes, for the path itself and in its own spelling: one of them names it, and
        those for other readings of it, and for what lies below, say it as well.  None does in a
        request that is refused for what else it names.
        """
        try:
            return all(map(self._all_basic, self.targets(environ)))
        except InvalidRequestError:
            return False

    def _all_basic(self, target: Target) -> bool:
        numbers = self._decide(target)
        named = not numbers.isdisjoint(self._naming_itself(target))
        return named and all(self._requirements[number].basic for number in numbers)

    def _naming_itself(self, target: Target) -> frozenset[int]:
        """Return the rules that name a target's path; none if it can be read in another way."""
        readings = read_path(target.path)
        if not readings.canonical or target.others:
            return frozenset()
        also = (read_path(one).texts[0] for one in target.also)
        return frozenset(self._naming((readings.texts[0], *also)))

    def _decide(self, target: Target) -> frozenset[int]:
        if sum(map(len, (target.path, *target.methods))) > MAX_REMEMBERED_CHARS or target.others:
            return self._decide_afresh(target)
        return self._remembered(target)

    def _decide_plain(self, path: str, method: str) -> Requirement:
        return self._join(self._decide_afresh(Target(path, with_implied([method]))))

    def _join_afresh(self, numbers: frozenset[int]) -> Requirement:
        """Join what several rules require: all of them must be satisfied."""
        return _all_of(self._requirements[number] for number in numbers)

    def _decide_afresh(self, target: Target) -> frozenset[int]:
        """Return the numbers of the rules that must be satisfied."""
        budget = Budget()
        readings = read_path(target.path, budget)
        texts = dict.fromkeys(readings.texts)
        for other in (*target.others, *target.also, *target.aliases):
            texts.update(dict.fromkeys(read_path(other, budget).texts))
        limit = self._covering.depth
        segments = dict.fromkeys(
            one for text in texts for one in folded_segments(text, limit, budget)
        )
        covered = tuple(dict.fromkeys(map(self._covering.find, segments)))
        named: tuple[int, ...] = ()
        if readings.canonical and not target.others:
            also = (read_path(one).texts[0] for one in target.also)
            named = self._naming((readings.texts[0], *also))
        levels = levels_below(target) if self._recursive else 0
        decided = (self._first(method, named, covered, levels) for method in target.methods)
        return frozenset().union(*decided)

    def _naming(self, texts: Iterable[str]) -> tuple[int, ...]:
        """Return the numbers of the rules that name all of *texts*, character by character."""
        limit = self._exact.depth + 1
        found = [
            self._exact.find(text[1:].split("/", limit)).matched if text[:1] == "/" else ()
            for text in texts
        ]
        return tuple(number for number in found[0] if all(number in one for one in found))

    def _first(
        self, method: str, named: tuple[int, ...], covered: Iterable[Found], levels: float
    ) -> set[int]:
        relaxing = next((n for n in named if self._rules[n].relaxes_for(method)), len(self._rules))
        numbers: set[int] = set()
        for found in covered:
            first = next((n for n in found.matched if self._rules[n].restricts(method)), relaxing)
            # A path that some app may take for a restricted one is not relaxed.
            if first < relaxing:
                numbers.add(self._as_spelled(first, named, method))
            if levels:
                numbers |= self._below(method, named, found, levels)
        return numbers or {relaxing}  # after the last rule comes the one by default

    def _as_spelled(self, number: int, named: tuple[int, ...], method: str) -> int:
        """Of rules whose paths differ in their spelling only, return the one that is exact."""
        folded = self._rules[number].pattern.folded
        if number in named:
            return number
        for one in named:
            rule = self._rules[one]
            if rule.pattern.folded == folded and rule.restricts(method):
                return one
        return number

    def _below(self, method: str, named: tuple[int, ...], found: Found, levels: float) -> set[int]:
        """Return the rules that decide on paths below, up to the first that decides on all."""
        decide_on_all = (
            n for n in sorted({*named, *found.matched}) if self._covers_below(n, method)
        )
        last = next(decide_on_all, len(self._rules))
        numbers = found.below(levels)
        numbers &= self._restricting.get(method.upper(), self._restricting[""])
        return numbers if last == len(self._rules) else {n for n in numbers if n < last}

    def _covers_below(self, number: int, method: str) -> bool:
        rule = self._rules[number]
        return rule.pattern.kind != "exact" and (rule.relaxes_for(method) or rule.restricts(method))


class _CompiledRule:
    def __init__(self, number: int, rule: Rule) -> None:
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
            basic=rule.basic,
            report_only=rule.mode == "report",
            rules=(number,),
        )

    def relaxes_for(self, method: str) -> bool:
        """Tell whether the rule relaxes and *method* is one of its, letter by letter."""
        return self.relaxes and (self.methods is None or method in self.methods)

    def restricts(self, method: str) -> bool:
        """Tell whether it restricts and *method* could be one: frameworks make it upper case."""
        return not self.relaxes and (self.methods is None or method.upper() in self.methods)


def _all_of(requirements: Iterable[Requirement]) -> Requirement:
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


def _is_prefix(path: str) -> bool:
    try:
        return "*" not in path and not path.endswith("/") and Pattern(path).kind == "exact"
    except ConfigurationError:
        return False


def _is_word(value: object) -> bool:
    return (
        isinstance(value, str)
        and value.isascii()
        and value.isprintable()
        and (bool(value) and not set(value) & {" ", '"', "\\", ","})
    )
