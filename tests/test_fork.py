from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from jwt_middleware.fork import PerProcess


def test_makes_nothing_before_it_is_asked() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    per_process = PerProcess(make)
    assert not made
    assert per_process.get() is per_process.get() is made[0]
    assert len(made) == 1


def test_what_make_raises_comes_out_and_it_is_tried_again() -> None:
    errors = [OSError("down")]

    def make() -> str:
        if errors:
            raise errors.pop()
        return "made"

    per_process = PerProcess(make)
    with pytest.raises(OSError, match="down"):
        per_process.get()
    assert per_process.get() == "made"


def at_once(per_process: PerProcess[object]) -> list[object]:
    """Have 25 threads ask at the same time; return values and errors."""
    start = threading.Barrier(25)

    def ask(_: int) -> object:
        start.wait(10)
        try:
            return per_process.get()
        except OSError as error:
            return error

    with ThreadPoolExecutor(25) as pool:
        return [*pool.map(ask, range(25))]


def test_threads_that_come_at_once_make_one_value() -> None:
    made: list[object] = []
    contended = threading.Event()

    def make() -> object:
        # Long enough for the others to find nothing made.
        contended.wait(0.05)
        made.append(object())
        return made[-1]

    assert at_once(PerProcess(make)) == made * 25
    assert len(made) == 1


def test_what_the_first_of_many_gets_raised_the_others_do_not() -> None:
    errors = [OSError("down")]
    made: list[object] = []

    def make() -> object:
        if errors:
            raise errors.pop()
        made.append(object())
        return made[-1]

    got = at_once(PerProcess(make))
    assert len(made) == 1
    assert sorted(map(str, got)) == sorted(["down", *[str(made[0])] * 24])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_forked_while_a_thread_makes_one_makes_its_own() -> None:
    parent, making, forked = os.getpid(), threading.Event(), threading.Event()

    def make() -> int:
        if os.getpid() == parent:
            making.set()
            forked.wait(10)
        return os.getpid()

    per_process = PerProcess(make)
    thread = threading.Thread(target=per_process.get)
    thread.start()
    assert making.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # a deadlock ends here
        try:
            os._exit(0 if per_process.get() == os.getpid() else 1)
        finally:
            os._exit(2)
    forked.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert per_process.get() == parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_with_the_number_of_an_ancestor_makes_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    per_process = PerProcess(object)
    inherited, number = per_process.get(), os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: number)  # as a grandchild may, once it is free again
    child = os.fork()
    if child == 0:
        os._exit(per_process.get() is inherited)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert per_process.get() is inherited


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
# Python 3.12 and later warn if a thread of another test is still there.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_makes_its_own() -> None:
    per_process = PerProcess(os.getpid)
    assert per_process.get() == os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(per_process.get()).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 20)) == child
    os.close(reader)
    os.close(writer)
    assert per_process.get() == os.getpid()
