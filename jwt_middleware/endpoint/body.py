"""Read a request body, JSON or urlencoded: bounded and strict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, cast
from urllib.parse import parse_qsl

from werkzeug.http import parse_options_header
from werkzeug.wsgi import get_content_length, get_input_stream

from ..core.encoding import parse_json
from ..errors import BodyTooLargeError, InvalidRequestError, UnsupportedMediaTypeError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_FIELDS: Final = 64

_JSON: Final = "application/json"

_UTF8: Final = frozenset({"utf-8", "utf8"})
# Some clients send these charsets by default; all agree with UTF-8 on ASCII.
_LIKE_ASCII: Final = frozenset(
    {*("us-ascii", "ascii", "iso-8859-1", "iso8859-1", "latin1", "latin-1"), "windows-1252"}
)

NOT_STORABLE: Final = re.compile("[\0\ud800-\udfff]")


def read_body(environ: WSGIEnvironment, *, max_bytes: int) -> dict[str, object]:
    """
    Read the members of a JSON object, or the fields of an urlencoded form.

    Args:
        environ: The request; its body is consumed.
        max_bytes: A longer body is refused, unread if Content-Length says so.

    Raises:
        BodyTooLargeError: The body is longer than *max_bytes*.
        UnsupportedMediaTypeError: Content-Type is neither UTF-8 JSON nor urlencoded.
        InvalidRequestError: The body cannot be read, or does not match its Content-Type.
    """
    return read_octets(environ, max_bytes=max_bytes).parse()


class Body(NamedTuple):
    """
    A body that was read but not yet parsed.

    Attributes:
        media_type: From Content-Type: JSON or urlencoded.
        octets: The raw body.
    """

    media_type: str
    octets: bytes

    def parse(self) -> dict[str, object]:
        """
        Return the members of the JSON object, or the fields of the form.

        Raises:
            InvalidRequestError: The body does not match its Content-Type.
        """
        # Raised outside the handler: a chained parser error would carry the whole body.
        if self.media_type != _JSON and self.octets.lstrip()[:1] == b"{":
            raise InvalidRequestError(
                "the body is JSON: send it with Content-Type: application/json",
                parameter="Content-Type",
            )
        with suppress(ValueError):
            return _PARSERS[self.media_type](self.octets)
        raise InvalidRequestError("the body does not match its Content-Type")


def read_octets(environ: WSGIEnvironment, *, max_bytes: int) -> Body:
    """
    Read a body whose media type is supported.

    Args:
        environ: As for :func:`read_body`.
        max_bytes: As for :func:`read_body`.

    Raises:
        BodyTooLargeError: As for :func:`read_body`.
        UnsupportedMediaTypeError: As for :func:`read_body`.
        InvalidRequestError: The body cannot be read.
    """
    media_type, parameters = parse_options_header(environ.get("CONTENT_TYPE", ""))
    media_type = media_type.lower()
    if media_type not in _PARSERS:
        found = "is of neither" if media_type else "is missing"
        raise _unsupported(f"{found}: for JSON, send application/json")
    charset = parameters.get("charset", "utf-8").lower()
    if charset not in _UTF8 and charset not in _LIKE_ASCII:
        raise _unsupported("has another charset: send UTF-8")
    octets = _read_bounded(environ, max_bytes)
    if charset in _LIKE_ASCII and not octets.isascii():
        raise _unsupported("has a charset that the body is not in: send UTF-8")
    return Body(media_type, octets)


def _unsupported(reason: str) -> UnsupportedMediaTypeError:
    return UnsupportedMediaTypeError(f"Content-Type {reason}", parameter="Content-Type")


def parameter(body: Mapping[str, object], name: str) -> str | None:
    """
    Return an OAuth parameter; an empty one counts as absent (RFC 6749 §3.2).

    Raises:
        InvalidRequestError: It is not a string, or has characters that cannot be stored.
    """
    value = body.get(name, "")
    if type(value) is not str or NOT_STORABLE.search(value):
        raise InvalidRequestError(f"{name} is not a string that can be stored", parameter=name)
    return value or None


def required_parameter(body: Mapping[str, object], name: str) -> str:
    """
    Return a required parameter.

    Raises:
        InvalidRequestError: It is missing, or as for :func:`parameter`.
    """
    value = parameter(body, name)
    if value is None:
        raise InvalidRequestError(f"{name} is missing", parameter=name)
    return value


def repeated_parameter(body: Mapping[str, object], name: str) -> list[str]:
    """
    Return the values of a repeatable parameter: in JSON, an array.

    Raises:
        InvalidRequestError: As for :func:`parameter`.
    """
    value = body.get(name, "")
    values = value if isinstance(value, list) else [value]
    return [one for each in values if (one := parameter({name: each}, name)) is not None]


def _read_bounded(environ: WSGIEnvironment, max_bytes: int) -> bytes:
    announced = get_content_length(environ)
    if announced is not None and announced > max_bytes:
        raise BodyTooLargeError
    try:
        # A chunked body has no length: reading one byte past the limit detects a longer one.
        octets = get_input_stream(environ, max_content_length=max_bytes + 1).read()
    except Exception as error:
        # Broken framing raises OSError, ValueError or, in gunicorn, its own exception.
        raise InvalidRequestError("the body cannot be read") from error
    if len(octets) > max_bytes:
        raise BodyTooLargeError
    if announced is not None and len(octets) < announced:
        raise InvalidRequestError("the body is shorter than its Content-Length")
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
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in _REPEATABLE:
            fields[name] = [*cast(list[str], fields.get(name, [])), value]
        elif name in fields:  # RFC 6749 §3.2
            shown = name if _NAME.fullmatch(name) else "a parameter"
            raise InvalidRequestError(f"{shown} is repeated", parameter=shown)
        else:
            fields[name] = value
    return fields


_REPEATABLE: Final = frozenset({"resource"})  # RFC 8707 §2
_NAME: Final = re.compile("[a-z_]{1,32}")

_PARSERS: Final = {
    _JSON: _parse_json_object,
    "application/x-www-form-urlencoded": _parse_urlencoded,
}
