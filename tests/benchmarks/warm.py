"""A request whose token was seen before: what its check adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from jwt_middleware import JWTMiddleware, MemorySessions, Policy, Rule, Sessions
from jwt_middleware.wsgi.metrics import Metrics

from . import frameworks
from .floor import floor, ten_lines
from .subject import bare_app, ignore, issuer_for, request_with, token_for_all, verifier_for
from .table import Row
from .timing import Batch, Case, Timings, interleaved

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

REQUESTS: Final = 200
# How many times cheaper than each we are to be.
_TARGETS: Final = {
    "jwt.decode in ten lines": 20,
    "Flask-JWT-Extended": 80,
    "Authlib ResourceProtector": 80,
    "simplejwt": 35,
}


def protected(
    app: WSGIApplication, policy: Policy | None = None, metrics: Metrics | None = None
) -> JWTMiddleware:
    """Wrap *app* in the middleware, revocation on."""
    sessions = Sessions(store=MemorySessions(), issuer=issuer_for())
    verifier = verifier_for(is_revoked=sessions.revocations)
    if metrics is not None:
        metrics.watch(verifier, lag=sessions.revocations.seconds_behind)
    return JWTMiddleware(app, verifier=verifier, policy=policy, metrics=metrics)


def fifty_rules() -> Policy:
    """Return a policy whose last rule matches the path of :func:`.subject.request_with`."""
    return Policy([Rule(f"/area{number}/*", scopes=["read"]) for number in range(50)])


def requests_to(app: WSGIApplication, token: str, path: str = "/area49/page") -> Case:
    """Return a case of requests, each with an environ of its own."""

    def ready() -> Batch:
        environs = [request_with(token, path) for _ in range(REQUESTS)]

        def batch() -> int:
            for environ in environs:
                for _ in app(environ, ignore):
                    pass
            return len(environs)

        return batch

    return ready


def measure(*, rounds: int, peers: bool) -> Iterator[Row]:
    """Measure all of it in one run."""
    with TemporaryDirectory() as folder:
        counting = Metrics(), Metrics(directory=folder)
        try:
            yield from _measure(rounds=rounds, peers=peers, counting=counting)
        finally:
            for metrics in counting:
                metrics.close()


def _measure(*, rounds: int, peers: bool, counting: tuple[Metrics, Metrics]) -> Iterator[Row]:
    token = token_for_all()
    of_one, of_several = counting
    cases: dict[str, Case] = {
        "bare": requests_to(bare_app, token),
        "floor": requests_to(floor(bare_app, token), token),
        "ours": requests_to(protected(bare_app), token),
        "50 rules": requests_to(protected(bare_app, fifty_rules()), token),
        "metrics": requests_to(protected(bare_app, metrics=of_one), token),
        "metrics in a folder": requests_to(protected(bare_app, metrics=of_several), token),
        "jwt.decode in ten lines": requests_to(ten_lines(bare_app), token),
    }
    if peers:
        cases |= _framework_cases(token)
    timings = interleaved(cases, rounds=rounds)
    yield from _ours(timings)
    for name, target in _TARGETS.items():
        if name in cases:
            yield _times_cheaper(timings, name, target)


def _ours(timings: Timings) -> Iterator[Row]:
    ours, least = (timings.median(case, over="bare") for case in ("ours", "floor"))
    yield Row(
        "a request with a known token, revocation on",
        "the floor",
        timings.ratio("ours", "floor", over="bare"),
        target=3.3,
        detail=f"{ours:.2f} / {least:.2f} µs",
    )
    yield Row(
        "the same with 50 rules, the last matching",
        "no rule",
        timings.ratio("50 rules", "ours", over="bare"),
        target=1.5,
        detail=f"{timings.median('50 rules', over='bare'):.2f} / {ours:.2f} µs",
    )

    for case in ("metrics", "metrics in a folder"):
        yield Row(
            f"the same with {case}",
            "no metrics",
            timings.ratio(case, "ours", over="bare"),
            target=2,
            detail=f"{timings.median(case, over='bare'):.2f} / {ours:.2f} µs",
        )


def _times_cheaper(timings: Timings, name: str, target: float) -> Row:
    bare = f"{name}: bare"
    theirs = timings.median(name, over=bare if bare in timings.microseconds else "bare")
    ours = timings.median("ours", over="bare")
    return Row(
        "a request with a known token: times cheaper than",
        name,
        theirs / ours,
        bound="at least",
        target=target,
        detail=f"{theirs:.0f} / {ours:.2f} µs",
    )


def _framework_cases(token: str) -> Mapping[str, Case]:
    makers: dict[str, Any] = {
        "Flask-JWT-Extended": frameworks.flask_jwt_extended,
        "Authlib ResourceProtector": frameworks.authlib,
        "simplejwt": frameworks.simplejwt,
    }
    cases: dict[str, Case] = {}
    for name, make in makers.items():
        pair = make()
        cases[name] = requests_to(pair.protected, token, "/")
        cases[f"{name}: bare"] = requests_to(pair.bare, token, "/")
    return cases
