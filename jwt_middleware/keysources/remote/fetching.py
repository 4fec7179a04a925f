"""What it is to fetch a document, whoever does it."""

from __future__ import annotations

import os
from functools import partial
from typing import NamedTuple, Protocol

from ...errors import ConfigurationError
from ...errors import FetchError as FetchError


class Document(NamedTuple):
    """
    What a URL answered.

    Attributes:
        octets: The body, decoded.
        max_age_seconds: How long it is fresh; ``None`` if the answer did not say.
        fetched_from: The URL, after redirects, without query.
    """

    octets: bytes
    max_age_seconds: float | None
    fetched_from: str


class Fetch(Protocol):
    """Fetches one document.  It must end by itself, and must not follow the URL anywhere else."""

    def __call__(self, url: str, /) -> Document:
        """
        Return the document at *url*.

        Raises:
            FetchError: It cannot be had.  The text is logged; of another exception, its type.
        """
        ...


def choose_fetch(
    fetch: Fetch | None, *, allow_http: bool, ca_file: str | os.PathLike[str] | None
) -> Fetch:
    """
    Return *fetch*, or :func:`jwt_middleware.keysources.remote.http.fetch` with the other parts.

    Raises:
        ConfigurationError: urllib3 is not installed; *ca_file* holds no certificates, or is given
            with a *fetch*.
    """
    if fetch is not None:
        if ca_file is not None:
            raise ConfigurationError("ca_file is for the fetch of this package: give only one")
        return fetch
    try:
        from . import http  # noqa: PLC0415  urllib3 is optional
    except ImportError as error:
        raise ConfigurationError(
            "keys from a URL need urllib3: pip install 'wsgi-jwt-middleware[remote]'"
        ) from error
    if ca_file is not None:
        http.check_ca_file(ca_file)
    return partial(http.fetch, allow_http=allow_http, ca_file=ca_file)
