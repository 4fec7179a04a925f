from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from jwt_middleware.endpoint.body import (
    MAX_FIELDS,
    parameter,
    read_body,
    required_parameter,
)
from jwt_middleware.errors import (
    BodyTooLargeError,
    InvalidRequestError,
    UnsupportedMediaTypeError,
)

from ..table import table

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


class ParseException(Exception):  # noqa: N818  gunicorn's name for what it raises
    """Of no base class that could be imported from here."""


class Endless:
    """A body, with no more methods than PEP 3333 asks for, that counts what is read of it."""

    taken = 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0
        self.taken += size
        return b" " * size

    def readline(self, size: int = -1) -> bytes:
        raise AssertionError("a body is not read by lines")

    readlines = __iter__ = readline


class Unreadable(io.RawIOBase):
    """A body whose reading is an error, or must not happen."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise self.error


def request(body: bytes = b"", content_type: str | None = JSON, **environ: Any) -> dict[str, Any]:
    builder = EnvironBuilder(method="POST", input_stream=io.BytesIO(body))
    built = builder.get_environ()
    builder.close()
    built["CONTENT_LENGTH"] = str(len(body))
    built.pop("CONTENT_TYPE", None)
    if content_type is not None:
        built["CONTENT_TYPE"] = content_type
    return {**built, **environ}


def read(*args: Any, max_bytes: int = 100, **environ: Any) -> dict[str, object]:
    return read_body(request(*args, **environ), max_bytes=max_bytes)


@table(
    ("body", "content_type", "members"),
    [
        pytest.param(b'{"a": [1, "x"]}', JSON, {"a": [1, "x"]}, id="json"),
        pytest.param(b"{}", "Application/JSON; charset=UTF-8", {}, id="json-with-charset"),
        pytest.param(b'{"a": 1}', 'application/json; charset="utf8"', {"a": 1}, id="utf8"),
        pytest.param(b"a=1&b=x+y%C3%A9", FORM, {"a": "1", "b": "x yé"}, id="urlencoded"),
        pytest.param(b"a=", FORM, {"a": ""}, id="blank-value"),
        pytest.param(b"", FORM, {}, id="empty-form"),
    ],
)
def test_reads_an_object_or_a_form(
    body: bytes, content_type: str, members: dict[str, object]
) -> None:
    assert read(body, content_type) == members


@table(
    "content_type",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("text/plain", id="text"),
        pytest.param("multipart/form-data; boundary=x", id="multipart"),
        pytest.param("application/json; charset=utf-16", id="utf-16"),
        pytest.param("application/x-www-form-urlencoded; charset=utf-7", id="utf-7"),
        pytest.param("application/jsonx", id="longer"),
        pytest.param("text/json", id="text-json"),
        pytest.param("application/vnd.api+json", id="vendor"),
        pytest.param("application/json, text/plain", id="two"),
        pytest.param("application/json; charset=utf-7", id="utf-7"),
        pytest.param("application/json; charset=utf-16le", id="utf-16le"),
        pytest.param("application/json; charset*=utf-8''utf-16", id="extended"),
    ],
)
def test_rejects_other_media_types(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        read(b"{}", content_type)


@pytest.mark.parametrize(
    ("content_type", "told"),
    [
        (None, "Content-Type is missing: for JSON, send application/json"),
        ("text/plain;charset=UTF-8", "Content-Type is of neither: for JSON, send application/json"),
        (f"{JSON}; charset=utf-16", "Content-Type has another charset: send UTF-8"),
    ],
)
def test_says_what_media_type_to_send(content_type: str | None, told: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError) as refused:
        read(b'{"account": "ann"}', content_type)
    assert refused.value.hint == told


@table(
    ("body", "content_type"),
    [
        pytest.param(b"", JSON, id="empty"),
        pytest.param(b"[]", JSON, id="array"),
        pytest.param(b'"x"', JSON, id="string"),
        pytest.param(b"{} {}", JSON, id="two-values"),
        pytest.param(b'{"a":1,"a":2}', JSON, id="duplicate-member"),
        pytest.param(b'{"a":NaN}', JSON, id="nan"),
        pytest.param(b'{"a":"\xff"}', JSON, id="not-utf-8"),
        *(
            pytest.param('{"a":1}'.encode(encoding), JSON, id=encoding)
            for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")
        ),
        pytest.param(b"\xef\xbb\xbf{}", JSON, id="byte-order-mark"),
        pytest.param(b'{"a":"\\ud800"}', JSON, id="lone-surrogate"),
        pytest.param(b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", JSON, id="deep"),
        pytest.param(b"a=1&a=2", FORM, id="field-twice"),
        pytest.param(b"a=1&%61=2", FORM, id="field-twice-escaped"),
        pytest.param(b"a=%ff", FORM, id="form-not-utf-8"),
        pytest.param(b"a=\xff", FORM, id="form-raw-not-utf-8"),
    ],
)
def test_rejects_what_is_not_what_it_says(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(body, content_type)
    # A parser's own error carries the whole body, with the secret in it.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("count", [MAX_FIELDS, MAX_FIELDS + 1])
def test_bounds_the_number_of_fields(count: int) -> None:
    body = "&".join(f"f{number}=" for number in range(count)).encode()
    if count == MAX_FIELDS:
        assert len(read(body, FORM, max_bytes=1000)) == count
    else:
        with pytest.raises(InvalidRequestError):
            read(body, FORM, max_bytes=1000)


def test_accepts_a_body_of_exactly_the_limit_and_none_longer() -> None:
    assert read(b'{"a":"bc"}', max_bytes=10) == {"a": "bc"}
    with pytest.raises(BodyTooLargeError):
        read(b'{"a":"bcd"}', max_bytes=10)


@table("content_type", [JSON, FORM])
@table("length", ["101", "10000000000", "9" * 100])
def test_rejects_an_announced_length_unread(length: str, content_type: str) -> None:
    announced: dict[str, Any] = {
        "CONTENT_LENGTH": length,
        "wsgi.input": Unreadable(AssertionError("the body was read")),
    }
    with pytest.raises(BodyTooLargeError):
        read(b"", content_type, **announced)


def test_caps_a_chunked_body() -> None:
    chunked: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    assert read(b'{"a":1}'.ljust(100), **chunked) == {"a": 1}
    assert read(b'{"a":1}', **chunked) == {"a": 1}
    with pytest.raises(BodyTooLargeError):
        read(b" " * 101, **chunked)
    endless = Endless()
    with pytest.raises(BodyTooLargeError):
        read(**{**chunked, "wsgi.input": endless})
    assert endless.taken < 200_000


def test_body_without_length_is_empty_where_the_server_does_not_end_it() -> None:
    with pytest.raises(InvalidRequestError):
        read(b'{"a":1}', CONTENT_LENGTH="")


@table("length", ["-1", "x", "1e3", "٣", "0x10", " ", "+5", "1,1", "9" * 5000])
def test_senseless_length_is_the_clients_error(length: str) -> None:
    with pytest.raises(InvalidRequestError):
        read(b'{"a":1}', CONTENT_LENGTH=length)


@table(
    "error",
    [OSError("broken chunk"), TimeoutError(), ConnectionResetError(), ValueError("chunk size"),
     ParseException("chunk size"), EOFError()],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
@table("framing", [{"CONTENT_LENGTH": "7"}, {"wsgi.input_terminated": True}])
def test_body_that_breaks_off_is_the_clients_error(
    error: Exception, framing: dict[str, Any]
) -> None:
    broken: dict[str, Any] = {**framing, "wsgi.input": Unreadable(error)}
    with pytest.raises(InvalidRequestError):
        read(**broken)


@pytest.mark.parametrize("environ", [{}, {"wsgi.input_terminated": True}])
def test_body_shorter_than_announced_is_the_clients_error(environ: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        read(b"a=1", FORM, CONTENT_LENGTH="4", **environ)


@given(
    st.binary(max_size=120),
    st.sampled_from([JSON, FORM]) | st.text(st.characters(max_codepoint=255), max_size=40),
)
def test_any_body_is_an_object_or_our_error(body: bytes, content_type: str) -> None:
    try:
        members = read(body, content_type)
    except InvalidRequestError:
        return
    assert isinstance(members, dict)


@table(
    ("body", "value"),
    [({"a": "x"}, "x"), ({"a": " "}, " "), ({"a": "é\n"}, "é\n"), ({"a": ""}, None), ({}, None)],
    ids=repr,
)
def test_a_parameter_without_a_value_is_as_good_as_absent(
    body: dict[str, object], value: str | None
) -> None:
    assert parameter(body, "a") == value
    if value is not None:
        assert required_parameter(body, "a") == value
        return
    with pytest.raises(InvalidRequestError, match="a is missing"):
        required_parameter(body, "a")


@table("value", [None, 1, True, 1.5, [], ["x"], {}, b"x", "a\0", "\ud800"], ids=repr)
def test_a_parameter_is_a_string_that_can_be_stored(value: object) -> None:
    for read_parameter in (parameter, required_parameter):
        with pytest.raises(InvalidRequestError, match="a is not a string"):
            read_parameter({"a": value}, "a")


@table("charset", ["ISO-8859-1", "us-ascii", "US-ASCII", "windows-1252"])
@table("media_type", [JSON, "application/x-www-form-urlencoded"])
def test_ascii_may_be_announced_as_what_it_also_is(media_type: str, charset: str) -> None:
    body = b'{"a": "b"}' if media_type == JSON else b"a=b"
    assert read(body, f"{media_type}; charset={charset}") == {"a": "b"}
    with pytest.raises(UnsupportedMediaTypeError):
        read(body.replace(b"b", b"\xe9"), f"{media_type}; charset={charset}")


def test_a_resource_may_be_given_several_times_and_nothing_else() -> None:
    urlencoded = "application/x-www-form-urlencoded"
    assert read(b"resource=a&resource=b&x=1", urlencoded) == {"resource": ["a", "b"], "x": "1"}
    with pytest.raises(InvalidRequestError) as caught:
        read(b"scope=a&scope=b", urlencoded)
    assert (caught.value.parameter, str(caught.value)) == ("scope", "scope is repeated")
    with pytest.raises(InvalidRequestError) as caught:
        read(b"%22=a&%22=b", urlencoded)
    assert caught.value.parameter == "a parameter"


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded"])
def test_json_without_its_content_type_is_told_so(media_type: str) -> None:
    octets = b' {"account": "a"}'
    with pytest.raises(InvalidRequestError, match="Content-Type: application/json") as refused:
        read(octets, media_type)
    assert refused.value.parameter == "Content-Type"
