"""The helpers of these tests: an error is shown, and a dead process takes no other test along."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Job, Processes

NOTHING: Job = ("close", {})


def test_what_failed_is_shown(waiting_processes: Processes) -> None:
    with pytest.raises(AssertionError, match="KeyError: 'nonsense'"):
        waiting_processes([("nonsense", {}), NOTHING])
    waiting_processes([NOTHING, NOTHING])


def test_a_process_that_died_is_replaced(waiting_processes: Processes) -> None:
    dead, *others = waiting_processes.pids
    os.kill(dead, signal.SIGKILL)
    with pytest.raises(AssertionError, match="ended with -9"):
        waiting_processes([NOTHING, NOTHING])
    assert waiting_processes.pids[1:] == others
    assert dead not in waiting_processes.pids
