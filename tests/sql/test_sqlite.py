from __future__ import annotations

import gc
import math
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from jwt_middleware.sessions.stores.sql.store import SQLSessions
from jwt_middleware.sql.sqlite import create_file

LOCKS = """if True:
    import sqlite3, sys
    sqlite3.connect(sys.argv[1], timeout=0).execute("BEGIN IMMEDIATE")
"""


def test_who_opens_the_file_while_it_is_created_keeps_the_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, locked, let_go = tmp_path / "sessions.db", threading.Event(), threading.Event()

    def lock_as_soon_as_it_is_there() -> None:
        while not path.exists():
            pass
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            locked.set()
            let_go.wait(30)

    opened = os.open

    def open_slowly(*args: Any, **others: Any) -> int:
        descriptor = opened(*args, **others)
        if path.exists():
            locked.wait(30)
        return descriptor

    monkeypatch.setattr(os, "open", open_slowly)
    other = threading.Thread(target=lock_as_soon_as_it_is_there)
    other.start()
    with suppress(sqlite3.OperationalError):  # it is locked, as it should be
        create_file(path, time.monotonic() + 0.1)
    assert locked.wait(30)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", LOCKS, path], capture_output=True, check=False, text=True
        )
    finally:
        let_go.set()
        other.join()
    assert "database is locked" in ended.stderr


def test_a_file_is_created_for_its_owner_and_leaves_no_other(tmp_path: Path) -> None:
    create_file(tmp_path / "sessions.db", math.inf)
    create_file(tmp_path / "sessions.db", math.inf)
    assert [one.name for one in tmp_path.iterdir()] == ["sessions.db"]
    assert (tmp_path / "sessions.db").stat().st_mode & 0o777 == 0o600


def test_a_file_that_somebody_else_creates_first_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, create = tmp_path / "sessions.db", os.link

    def link(new: Path, name: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE theirs (id)")
        create(new, name)

    monkeypatch.setattr(os, "link", link)
    create_file(path, math.inf)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    assert [one.name for one in tmp_path.iterdir()] == ["sessions.db"]


def test_a_store_that_is_dropped_warns_of_nothing(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    store = SQLSessions(f"sqlite:///{tmp_path / 'sessions.db'}")
    store.create_schema()
    del store
    gc.collect()
    assert [str(one.message) for one in recwarn if one.category is ResourceWarning] == []
