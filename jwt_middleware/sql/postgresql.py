"""
Connections to PostgreSQL that give up in time.  Needs psycopg.

A server that was paused, or a network that drops everything, leaves a client waiting for ever: the
kernel still accepts what is sent.  ``statement_timeout`` is kept by the server, which then does not
run; libpq's ``tcp_user_timeout`` knows no Unix socket; and a ``connect_timeout`` is at least 2 s.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Self, TypeVar

import psycopg

from .deadline import remaining

Result = TypeVar("Result")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed, and raises, if an answer has not come by the deadline."""

    def wait(self, gen: Generator[Any, Any, Result], *args: Any, **kwargs: Any) -> Result:
        """Wait as psycopg does, until the deadline at most."""
        try:
            return super().wait(_until_deadline(gen), *args, **kwargs)
        except psycopg.errors.ConnectionTimeout:
            # An answer that comes late would be taken for the next one's.
            self.close()
            raise

    @classmethod
    def _connect_gen(cls, *args: Any, **kwargs: Any) -> Generator[Any, Any, Self]:
        return (yield from _until_deadline(super()._connect_gen(*args, **kwargs)))


def connect(_: object, __: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Connect in place of SQLAlchemy's dialect; for its event ``do_connect``."""
    return BoundedConnection.connect(*args, **kwargs)


def _until_deadline(gen: Generator[Any, Any, Result]) -> Generator[Any, Any, Result]:
    # psycopg resumes what waits every tenth of a second, if only to notice Ctrl-C.
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and remaining() <= 0:
                gen.close()
                raise psycopg.errors.ConnectionTimeout("no answer in time")
            wanted = gen.send(ready)
    except StopIteration as stop:
        result: Result = stop.value
        return result
