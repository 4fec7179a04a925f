"""
What the app alone would reach, no request reaches through the middleware without its scope.

The oracle is the app itself: each request is sent to it alone first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest

from jwt_middleware import JWTMiddleware, Policy, Rule, TokenVerifier

from ..site import AUD, ISS, KEYS, NOW, token_with
from .apps import SECRET, SITES, Site, call
from .generator import Generator, Sent

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

OTHER: Final = f"Bearer {token_with('other')}"
RIGHT: Final = f"Bearer {token_with('secret')}"


SHORT: Final = 200
LONG: Final = 20_000


class Counts:
    def __init__(self) -> None:
        self.requests = self.reaching = self.with_token = 0

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.reaching} reach the secret alone, "
            f"{self.with_token} with the right token, 0 without"
        )


@cache
def site(name: str) -> Site:
    return SITES[name]()


def reaches(site: Site, app: object, environ: WSGIEnvironment, body: bytes) -> bool:
    """Tell whether the request shows what is secret, or changes it; and undo the change."""
    before = site.state()
    _, octets = call(app, environ, body)  # type: ignore[arg-type]
    if before is None:
        return SECRET.encode() in octets
    changed = site.state() != before
    site.reset()
    return changed or SECRET.encode() in octets


@cache
def wrapped(name: str) -> Mapping[str, JWTMiddleware]:
    """Return the app behind each kind of policy."""
    it = site(name)
    opens = [Rule(path, methods=["GET"], access="public") for path in it.opens]
    public_rest, token_rest = (Rule("/*", access=access) for access in ("public", "required"))
    policies = {
        "public rest": Policy([*it.secret, public_rest], **it.settings),
        "token for the rest": Policy([*it.secret, token_rest], **it.settings),
        "default deny": Policy([*opens, *it.secret], **it.settings),
        "prefix": Policy([*it.secret, public_rest], prefix="/x", **it.settings),
    }
    verifier = TokenVerifier(keys=KEYS, issuer=ISS, audience=AUD, clock=lambda: NOW)
    return {
        kind: JWTMiddleware(it.app, verifier=verifier, policy=policy)
        for kind, policy in policies.items()
    }


def bypasses(name: str, sent: Sent, counts: Counts) -> list[str]:
    """Return how one request gets past each policy."""
    environ = sent.environ()
    if environ is None:
        return []
    counts.requests += 1
    it = site(name)
    if not reaches(it, it.app, environ, sent.body):
        return []
    counts.reaching += 1
    found = []
    right = False
    for kind, app in wrapped(name).items():
        if reaches(it, app, environ, sent.body):
            found.append(f"{kind}: {sent} without a token")
        if reaches(it, app, {**environ, "HTTP_AUTHORIZATION": OTHER}, sent.body):
            found.append(f"{kind}: {sent} without the scope")
        right |= reaches(it, app, {**environ, "HTTP_AUTHORIZATION": RIGHT}, sent.body)
    counts.with_token += right
    return found


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SITES)
def test_nothing_reaches_the_secret_without_its_scope(name: str) -> None:
    counts = Counts()
    generator = Generator(site(name).words, seed=2026)
    plain = [Sent("GET", quote(word)) for word in site(name).words if word.startswith("/")]
    requests = [*plain, *generator.requests(SHORT)]
    found = [bypass for sent in requests for bypass in bypasses(name, sent, counts)]
    assert found == []
    assert counts.reaching > 1, "the oracle says nothing: the generator or the app is wrong"
    assert counts.with_token > 0


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SITES)
def test_nothing_reaches_the_secret_in_the_long_run(name: str) -> None:
    counts = Counts()
    generator = Generator(site(name).words, seed=1)
    for sent in generator.requests(LONG):
        assert bypasses(name, sent, counts) == []
    print(f"{name}: {counts}")  # noqa: T201
