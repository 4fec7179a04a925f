"""
The policy: which requests need a token, with which scopes and claims.

Rules are tried in order on method and path; the first match decides; a path without a rule needs a
token.  A rule that relaxes matches narrowly and one that restricts matches broadly, so that no
variant of a request is less protected: :mod:`.request` finds the methods and paths that it may
mean, :mod:`.paths` the readings of each path.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError, InvalidRequestError
from .cors import requested_method
from .paths import Found, Pattern, PatternIndex
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
from .rule import Requirement, Rule, all_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

REMEMBERED_DECISIONS: Final = 1024
REMEMBERED_JOINS: Final = 128
MAX_REMEMBERED_CHARS: Final = 512
OTHER_METHOD: Final = "OTHER"
"""Stands for all methods that no rule names."""


_DEFAULT: Final = Requirement()
PREFLIGHT: Final = Requirement(access="public", preflight=True)
"""For a CORS preflight without a token: only the CORS headers of its response pass."""


class Policy:
    """
    Ordered rules.

    Args:
        rules: Tried in this order; without rules, every request needs a token.
        prefix: Prefix that your own proxy strips from each path and sends in a header, such as
            ``X-Forwarded-Prefix: /api``; the same in every request.
        form_method_override: The app reads a method from a form field: a request with a form counts
            as every method.
        recursive_methods: Methods like DELETE and COPY act on everything below a path: rules that
            restrict a path below it apply, too.

    Raises:
        ConfigurationError: *rules* are not rules, or *prefix* is invalid.
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
        self._patterns = PatternIndex()
        for number, rule in enumerate(self._rules):
            self._patterns.add(number, rule.pattern, covers=not rule.relaxes)
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
        """Return the paths of the rules that decided, for logs."""
        return ", ".join(self.rules[number - 1].path for number in requirement.rules)

    def requirement(self, environ: WSGIEnvironment) -> Requirement:
        """
        Return the requirement for a request.

        Raises:
            InvalidRequestError: It is contradictory, too long, or has too many readings.
        """
        return self.decide(environ, WATCHED_KEYS.isdisjoint(environ))

    def decide(self, environ: WSGIEnvironment, plain: bool) -> Requirement:  # noqa: FBT001  quicker than a keyword
        """Like :meth:`requirement`; *plain*: no :data:`.request.WATCHED_KEYS` in *environ*."""
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
        Return the resources that a request names, as the rules see them.

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
            return None  # the app may run another method than OPTIONS
        own = self._join(self._decide(target))
        if own.access != "required" and not own.preflight:
            return own
        numbers = self._decide(target._replace(methods=(wanted,)))
        if numbers.issubset(self._naming_itself(target)) and self._all_open(numbers):
            return PREFLIGHT
        return own

    def _all_open(self, numbers: frozenset[int]) -> bool:
        return all(self._requirements[number].preflight for number in numbers)

    def takes_basic(self, environ: WSGIEnvironment) -> bool:
        """
        Return whether a token may be a Basic password: all rules that decide allow it.

        As with any relaxation, one rule must name the path exactly, and the rules for its other
        readings and for paths below must also allow it.  Never in a request that is refused.
        """
        try:
            return all(map(self._all_basic, self.targets(environ)))
        except InvalidRequestError:
            return False

    def _all_basic(self, target: Target) -> bool:
        numbers = self._decide(target)
        named = not numbers.isdisjoint(self._naming_itself(target))
        return named and all(self._requirements[number].basic for number in numbers)

    def _naming_itself(self, target: Target) -> tuple[int, ...]:
        """Return the rules that name a target's path; none if it has another reading."""
        return () if target.others else self._patterns.naming(target.path, target.also)

    def _decide(self, target: Target) -> frozenset[int]:
        if sum(map(len, (target.path, *target.methods))) > MAX_REMEMBERED_CHARS or target.others:
            return self._decide_afresh(target)
        return self._remembered(target)

    def _decide_plain(self, path: str, method: str) -> Requirement:
        return self._join(self._decide_afresh(Target(path, with_implied([method]))))

    def _join_afresh(self, numbers: frozenset[int]) -> Requirement:
        """Combine the requirements of several rules: all must be satisfied."""
        return all_of(self._requirements[number] for number in numbers)

    def _decide_afresh(self, target: Target) -> frozenset[int]:
        """Return the numbers of the rules that must be satisfied."""
        levels = levels_below(target) if self._recursive else 0
        named, covered = self._patterns.match(
            target.path, others=target.others, also=target.also, aliases=target.aliases
        )
        decided = (self._first(method, named, covered, levels) for method in target.methods)
        return frozenset().union(*decided)

    def _first(
        self, method: str, named: tuple[int, ...], covered: Iterable[Found], levels: float
    ) -> set[int]:
        relaxing = next((n for n in named if self._rules[n].relaxes_for(method)), len(self._rules))
        numbers: set[int] = set()
        for found in covered:
            first = next((n for n in found.matched if self._rules[n].restricts(method)), relaxing)
            # A path that an app may read as a restricted one is not relaxed.
            if first < relaxing:
                numbers.add(self._as_spelled(first, named, method))
            if levels:
                numbers |= self._below(method, named, found, levels)
        return numbers or {relaxing}  # the default rule comes last

    def _as_spelled(self, number: int, named: tuple[int, ...], method: str) -> int:
        """Return the rule with the exact path, of rules that differ only in spelling."""
        folded = self._rules[number].pattern.folded
        if number in named:
            return number
        for one in named:
            rule = self._rules[one]
            if rule.pattern.folded == folded and rule.restricts(method):
                return one
        return number

    def _below(self, method: str, named: tuple[int, ...], found: Found, levels: float) -> set[int]:
        """Return the rules for paths below, up to the first that covers all of them."""
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
        """Return whether the rule relaxes and names exactly *method*."""
        return self.relaxes and (self.methods is None or method in self.methods)

    def restricts(self, method: str) -> bool:
        """Return whether the rule restricts *method*, in any case: frameworks upper-case it."""
        return not self.relaxes and (self.methods is None or method.upper() in self.methods)


def _is_prefix(path: str) -> bool:
    try:
        return "*" not in path and not path.endswith("/") and Pattern(path).kind == "exact"
    except ConfigurationError:
        return False
