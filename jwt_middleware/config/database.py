"""URLs of databases in the file.  Needs the extra ``sql``."""

from __future__ import annotations

from sqlalchemy.engine import URL

from ..sql.urls import SQLITE, parse_url
from .reading import Place


def database_url(text: str, place: Place) -> URL:
    """
    Read the URL that stands at *place*; an SQLite file is relative to the configuration file.

    Raises:
        ConfigurationError: It is unusable.  The text quotes none of it, and names no place.
    """
    url = parse_url(text)
    if url.drivername == SQLITE:
        # An absolute path stays what it is.
        url = url.set(database=str(place.file.parent / str(url.database)))
    return url
