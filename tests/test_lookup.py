from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from jwt_middleware.lookup import look_up

LATER = 30.0


def test_returns_what_the_resolver_does() -> None:
    assert look_up("a", lambda: ["10.0.0.1"], deadline=time.monotonic() + LATER) == ["10.0.0.1"]


def test_raises_what_the_resolver_does() -> None:
    def resolve() -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    for _ in range(2):
        with pytest.raises(socket.gaierror, match="unknown"):
            look_up("a", resolve, deadline=time.monotonic() + LATER)


def test_a_thread_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(TimeoutError, match="thread"):
            look_up("a", lambda: "10.0.0.1", deadline=time.monotonic() + LATER)
    assert look_up("a", lambda: "10.0.0.1", deadline=time.monotonic() + LATER) == "10.0.0.1"


def test_gives_up_at_the_deadline_and_asks_once_for_all_that_wait() -> None:
    answered, asked = threading.Event(), list[int]()

    def resolve() -> str:
        asked.append(1)
        answered.wait(LATER)
        return "10.0.0.1"

    def wait(deadline: Callable[[], float]) -> str:
        return look_up("slow", resolve, deadline=deadline())

    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(wait, lambda: time.monotonic() + LATER) for _ in range(4)]
        for _ in range(4):
            with pytest.raises(TimeoutError):
                wait(time.monotonic)
        answered.set()
        assert {one.result() for one in waiting} == {"10.0.0.1"}
    assert len(asked) == 1
