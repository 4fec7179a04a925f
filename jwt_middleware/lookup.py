"""DNS lookups with a deadline, which the system's resolver does not support."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

from .fork import PerProcess

T = TypeVar("T")


class _Lookups:
    """The running lookups of one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: dict[Hashable, Future[Any]] = {}

    def forget(self, key: Hashable) -> None:
        with self.lock:
            del self.running[key]


_lookups = PerProcess(_Lookups)


def look_up(key: Hashable, resolve: Callable[[], T], *, deadline: float) -> T:
    """
    Call *resolve* in a thread and return its result, if it comes before *deadline*.

    ``getaddrinfo`` cannot be interrupted, and takes 30 s if no name server answers.  There is one
    thread for each *key*; all callers with that key wait for it.

    Args:
        key: Identifies the lookup.
        resolve: Calls the resolver.
        deadline: Time of the monotonic clock.

    Raises:
        TimeoutError: It takes longer, or no thread can be started.
    """
    lookups = _lookups.get()
    with lookups.lock:
        future = lookups.running.get(key)
        if future is None:
            future = lookups.running[key] = Future()
            thread = threading.Thread(
                target=_run, args=[lookups, key, resolve, future], name="lookup", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # the limit on threads
                del lookups.running[key]
                raise TimeoutError(str(error)) from error
    result: T = future.result(max(0, deadline - time.monotonic()))
    return result


def _run(
    lookups: _Lookups, key: Hashable, resolve: Callable[[], object], future: Future[Any]
) -> None:
    try:
        found = resolve()
    except BaseException as error:  # noqa: BLE001  raised in the waiting threads
        lookups.forget(key)
        future.set_exception(error)
    else:
        lookups.forget(key)
        future.set_result(found)
