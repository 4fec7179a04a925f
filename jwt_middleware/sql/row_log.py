"""What SQLAlchemy logs of our databases: statements if it is told to, and never a row."""

from __future__ import annotations

import logging
from typing import Final

LOGGING_NAME: Final = "jwt_middleware"
"""The *logging_name* of an engine whose rows are not logged."""


def keep_rows_out() -> None:
    """
    Have no row logged that an engine of this name reads.

    At the level DEBUG SQLAlchemy logs each, with secret hashes; ``hide_parameters`` is only about
    what is sent.  The level of a logger may be set later than this, so it is a filter.
    """
    logging.getLogger(f"sqlalchemy.engine.Engine.{LOGGING_NAME}").addFilter(_is_no_row)


def _is_no_row(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
