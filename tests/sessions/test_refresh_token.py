from __future__ import annotations

from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.errors import InvalidGrantError
from jwt_middleware.sessions.refresh_token import RefreshToken

from ..strategies import CHARACTERS
from ..table import table

SALT = b"s" * 16
generate = partial(RefreshToken.generate, issuer="https://auth")
parse = partial(RefreshToken.parse, issuer="https://auth")


def test_is_64_characters_that_need_no_escaping() -> None:
    text = generate().reveal()
    assert len(text) == 64
    assert text.replace("-", "").replace("_", "").isalnum()


def test_no_two_are_alike() -> None:
    made = [generate() for _ in range(1000)]
    assert len({one.reveal() for one in made}) == len({one.sid for one in made}) == 1000


def test_reads_what_it_revealed() -> None:
    token = generate()
    again = parse(token.reveal())
    assert (again.sid, again.digest, again.reveal()) == (token.sid, token.digest, token.reveal())


def test_an_issuer_does_not_know_the_tokens_of_another() -> None:
    token = generate()
    elsewhere = RefreshToken.parse(token.reveal(), issuer="https://other")
    assert elsewhere.sid != token.sid
    assert token.successor(SALT).sid == token.sid


def test_a_successor_is_of_the_same_session_and_another_token() -> None:
    token = generate()
    successor = token.successor(SALT)
    assert successor.sid == token.sid
    assert successor.digest != token.digest
    assert successor.reveal()[-43:] != token.reveal()[-43:]


def test_a_successor_follows_from_token_and_salt_alone() -> None:
    token = generate()
    again = parse(token.reveal())
    assert token.successor(SALT).reveal() == again.successor(SALT).reveal()
    assert token.successor(SALT).reveal() != token.successor(b"t" * 16).reveal()


def test_neither_repr_nor_sid_gives_the_token_away() -> None:
    token = generate()
    for part in (token.reveal()[:20], token.reveal()[-20:]):
        assert part not in repr(token)
    assert token.sid not in token.reveal()


@table(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("A" * 63, id="short"),
        pytest.param("A" * 65, id="long"),
        pytest.param("A" * 10_000_000, id="huge"),
        pytest.param("A" * 63 + "=", id="padding"),
        pytest.param("A" * 63 + "+", id="other-alphabet"),
        pytest.param("A" * 62 + "\r\n", id="newline"),
        pytest.param("A" * 63 + "\u00e9", id="not-ascii"),
        pytest.param("\udc80" * 64, id="surrogates"),
    ],
)
def test_refuses_what_it_never_made(text: str) -> None:
    with pytest.raises(InvalidGrantError) as raised:
        parse(text)
    assert text[:20] not in str(raised.value) or not text


@given(st.text(CHARACTERS, max_size=80))
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    with suppress(InvalidGrantError):
        assert parse(text).reveal() == text
