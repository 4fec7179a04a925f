"""URLs of databases in the file."""

from __future__ import annotations

from ..errors import ConfigurationError
from ..files import no_file
from ..sql.urls import DatabaseURL, parse_url
from .reading import Place


def database_url(text: str, place: Place) -> DatabaseURL:
    """
    Read the URL that stands at *place*; an SQLite file is relative to the configuration file.

    Raises:
        ConfigurationError: It is unusable.  The text quotes none of it, and names no place.
    """
    url = parse_url(text).beside(place.file.parent)
    if url.path is not None and (reason := no_file(url.path)):
        raise ConfigurationError(f"the database file {reason}")
    return url
