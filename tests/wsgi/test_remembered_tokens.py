"""Tokens that were verified before: good only while time, keys and revocation allow."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from jwt_middleware import Key, KeySet
from jwt_middleware.errors import UnavailableError

from ..site import KEYS, Refusals, Site, forge, good_claims, good_token, token_with


class Store:
    """A revocation store that can be emptied, filled and torn down."""

    def __init__(self) -> None:
        self.revoked: set[object] = set()
        self.error: BaseException | None = None
        self.asked = 0

    def __call__(self, claims: Mapping[str, object], /) -> bool:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return claims.get("jti") in self.revoked


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        pytest.param(OSError("redis://user:hunter2@store is down"), "1", id="OSError"),
        pytest.param(KeyError("jti"), "1", id="KeyError"),
        pytest.param(TimeoutError(), "1", id="TimeoutError"),
        pytest.param(AssertionError(), "1", id="AssertionError"),
        pytest.param(RecursionError(), "1", id="RecursionError"),
        pytest.param(StopIteration(), "1", id="StopIteration"),
        pytest.param(UnavailableError("down", retry_after_seconds=30), "30", id="ours"),
    ],
)
@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "fresh"])
def test_store_down(
    error: Exception,
    retry_after: str,
    remembered: bool,  # noqa: FBT001
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store()
    site = Site(is_revoked=store)
    token = good_token()
    if remembered:
        site.accepts(token)
    store.error = error
    calls = len(site.calls)
    answer = site.ask(token)
    assert answer.status_int == 503
    assert answer.headers["Retry-After"] == retry_after
    assert "WWW-Authenticate" not in answer.headers
    assert "hunter2" not in answer.text + caplog.text
    assert len(site.calls) == calls
    # A token that is bad anyway is not the store's business.
    assert site.ask(forge(sign=lambda _: b"\0" * 32)).status_int == 401
    store.error = None
    site.accepts(token)


@pytest.mark.parametrize("cache_size", [0, 1, 2, 10_000])
def test_remembered_token_after_revocation(cache_size: int, refusals: Refusals) -> None:
    store = Store()
    site = Site(is_revoked=store, cache_size=cache_size)
    token, other = good_token(jti="j-1"), good_token(jti="j-2")
    site.accepts(token)
    store.revoked.add("j-1")
    refusals.r401(site, token, good=other)
    # By identity, not by bytes: the same token, spelled otherwise, truly signed.
    respelled = forge({"kid": "k1", "alg": "HS256"}, good_claims(jti="j-1", padding="x"))
    refusals.r401(site, respelled, good=other)
    store.revoked.clear()
    site.accepts(token)


def test_keys_replaced_while_requests_run(refusals: Refusals) -> None:
    old, new = KEYS, KeySet([Key.generate("HS256", kid="k2")])
    tokens = {"old": good_token(), "new": token_with("", keys=new)}
    site = Site()
    unexpected: list[Any] = []
    stop = threading.Event()

    def ask(token: str) -> None:
        while not stop.is_set():
            try:
                site.verifier.verify(token)
            except Exception as error:  # noqa: BLE001
                if type(error).__name__ != "UnknownKeyError":
                    unexpected.append(error)

    threads = [threading.Thread(target=ask, args=[token]) for token in tokens.values()]
    for thread in threads:
        thread.start()
    for _ in range(60):
        site.verifier.keys = new
        if _passes(site, tokens["old"]):
            unexpected.append("a token of a removed key passed")
        site.verifier.keys = old
        if _passes(site, tokens["new"]):
            unexpected.append("a token of a removed key passed")
    stop.set()
    for thread in threads:
        thread.join()
    assert unexpected == []


def _passes(site: Site, token: str) -> bool:
    return bool(site.ask(token).status_int == 200)
