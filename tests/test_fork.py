from __future__ import annotations

import os
import threading

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


def test_threads_that_come_at_once_get_one_value() -> None:
    start = threading.Barrier(8)
    both_make = threading.Barrier(8)

    def make() -> object:
        both_make.wait()
        return object()

    per_process: PerProcess[object] = PerProcess(make)
    got: list[object] = []

    def work() -> None:
        start.wait()
        got.append(per_process.get())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 1
    assert per_process.get() is got[0]


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
