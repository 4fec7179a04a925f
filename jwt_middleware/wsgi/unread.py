"""Skip unread request bodies, which a server would parse as the next request."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_SKIPPED_BYTES: Final = 64 * 1024


def skip_body(environ: WSGIEnvironment, answer: Iterable[bytes]) -> Iterable[bytes]:
    """
    Wrap *answer* so that the rest of the request body is skipped after it.

    Servers skip an unread body or close the connection, but cheroot does neither with a chunked
    one. Here a small rest is read after the response is sent; a longer one closes the connection.
    """
    if "HTTP_TRANSFER_ENCODING" not in environ:
        return answer
    body = environ["wsgi.input"]
    if type(body).__module__ != "cheroot.server":
        return answer
    return _Skipping(answer, body)


class _Skipping:
    def __init__(self, answer: Iterable[bytes], body: Any) -> None:
        self._answer = answer
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        from cheroot.errors import MaxSizeExceeded  # noqa: PLC0415  cheroot is installed: it made the body
        from cheroot.server import SizeCheckWrapper  # noqa: PLC0415

        if hasattr(self._answer, "close"):
            self._answer.close()
        body = self._body
        # Both: one bounds lines, the other whole chunks.
        body.rfile = SizeCheckWrapper(body.rfile, MAX_SKIPPED_BYTES)
        body.maxlen = body.bytes_read + MAX_SKIPPED_BYTES
        try:
            while body.read(MAX_SKIPPED_BYTES):
                pass
            for _ in body.read_trailer_lines():
                pass
        except (MaxSizeExceeded, OSError, ValueError):
            # cheroot treats this as a disconnected client: it closes the connection without
            # logging.
            raise ConnectionAbortedError(
                errno.ECONNABORTED, "the request's body is too long to be skipped"
            ) from None
