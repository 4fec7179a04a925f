"""Looking up the addresses of a host by a deadline, which the system's resolver does not know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

from .fork import PerProcess

T = TypeVar("T")


class _Lookups:
    """What is being looked up in one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: dict[Hashable, Future[Any]] = {}

    def forget(self, key: Hashable) -> None:
        with self.lock:
            del self.running[key]


_lookups = PerProcess(_Lookups)


def look_up(key: Hashable, resolve: Callable[[], T], *, deadline: float) -> T:
    """
    Return what *resolve* does, if it does so before *deadline*.

    ``getaddrinfo`` cannot be interrupted, and takes half a minute where no name server answers: it
    runs in a thread, one for each *key*, for which all that need it wait.

    Args:
        key: Tells apart what is looked up.
        resolve: Asks the resolver.
        deadline: On the monotonic clock.

    Raises:
        TimeoutError: It takes longer, or there is no thread to be had.
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
            except RuntimeError as error:  # of a limit on threads
                del lookups.running[key]
                raise TimeoutError(str(error)) from error
    result: T = future.result(max(0, deadline - time.monotonic()))
    return result


def _run(
    lookups: _Lookups, key: Hashable, resolve: Callable[[], object], future: Future[Any]
) -> None:
    try:
        found = resolve()
    except BaseException as error:  # noqa: BLE001  raised where it is waited for
        lookups.forget(key)
        future.set_exception(error)
    else:
        lookups.forget(key)
        future.set_result(found)
