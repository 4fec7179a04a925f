"""Reading a request body: bounded, strict, JSON or urlencoded."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from werkzeug.wrappers import Request

from ..core.encoding import parse_json
from ..errors import BodyTooLargeError, InvalidRequestError, UnsupportedMediaTypeError

MAX_FIELDS: Final = 64


def read_body(request: Request, *, max_bytes: int) -> dict[str, object]:
    """
    Read the members of a JSON object, or the fields of an urlencoded form.

    Args:
        request: Its body is read once, here.
        max_bytes: A longer body is refused; where its length is announced, unread.

    Raises:
        BodyTooLargeError: It is longer than *max_bytes*.
        UnsupportedMediaTypeError: It is neither UTF-8 JSON nor urlencoded, by its Content-Type.
        InvalidRequestError: It cannot be read, or not as what it says it is.
    """
    parse = {
        "application/json": _parse_json_object,
        "application/x-www-form-urlencoded": _parse_urlencoded,
    }.get(request.mimetype)
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if parse is None or charset not in {"utf-8", "utf8"}:
        raise UnsupportedMediaTypeError
    octets = _read_bounded(request, max_bytes)
    try:
        return parse(octets)
    except ValueError as error:
        raise InvalidRequestError("the body is not what its Content-Type says") from error


def _read_bounded(request: Request, max_bytes: int) -> bytes:
    announced = request.content_length
    if announced is not None and announced > max_bytes:
        raise BodyTooLargeError
    # A chunked body announces nothing: one byte more than the limit shows that it is too long.
    request.max_content_length = max_bytes + 1
    try:
        octets = request.get_data(cache=False)
    except Exception as error:
        # Broken framing is an OSError, a ValueError or, in gunicorn, a class of the server's own.
        raise InvalidRequestError("the body cannot be read") from error
    if len(octets) > max_bytes:
        raise BodyTooLargeError
    if announced is not None and len(octets) < announced:
        raise InvalidRequestError("the body breaks off")
    return octets


def _parse_json_object(octets: bytes) -> dict[str, object]:
    members = parse_json(octets)
    if not isinstance(members, dict):
        raise ValueError("not a JSON object")
    return members


def _parse_urlencoded(octets: bytes) -> dict[str, object]:
    pairs = parse_qsl(
        octets.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
    )
    fields: dict[str, object] = dict(pairs)
    if len(fields) != len(pairs):  # RFC 6749 §3.2
        raise ValueError("a field is given twice")
    return fields
