"""Why a database cannot be asked, for who can mend it."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from .sqlite import primary_code

_LOCKED: Final = "another has locked it for too long"
_FULL: Final = "there is no room on its disk"
# https://www.sqlite.org/rescode.html
_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: "its disk cannot be read or written; it may be full",
    sqlite3.SQLITE_READONLY: "it may not be written; mind who owns the file and its folder",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
}
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL: Final = {
    "53100": _FULL,
    "55P03": _LOCKED,
    "57014": _LOCKED,  # query_canceled: what statement_timeout does
    "42501": "its user may not do that",
    "25006": "it may only be read",
}


def explain(error: Exception, *, mend: str) -> str:
    """
    Say what is wrong with a database, quoting nothing of the error.

    Args:
        error: From SQLAlchemy, sqlite3 or the system.
        mend: What to do where the tables are missing.

    Returns:
        What follows the name of the database.
    """
    if isinstance(error, OSError):
        return f"cannot be created: {error.strerror}"
    if isinstance(error, PoolTimeoutError):
        return "cannot be asked: too many others of this process are asking it"
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = primary_code(cause)
    sqlstate = getattr(cause, "sqlstate", None)
    if code == sqlite3.SQLITE_CANTOPEN:
        return f"cannot be opened; if it is not there, {mend}"
    # undefined_table and undefined_column.  SQLite has no codes of its own for these; from
    # statements that never vary, its generic one means nothing else.
    if sqlstate in {"42P01", "42703"} or code == sqlite3.SQLITE_ERROR:
        return f"lacks the tables of this version; {mend}"
    why = _SQLITE.get(code) or _POSTGRESQL.get(sqlstate or "")
    if isinstance(error, DBAPIError) and not (why or code or sqlstate):
        why = "it does not answer; see whether it runs where the url says, and lets us in"
    return f"cannot be asked: {why}" if why else "cannot be asked"
