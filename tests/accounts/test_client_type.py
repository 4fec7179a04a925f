from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.accounts import ClientType, InvalidAccountError, normalise_account
from jwt_middleware.accounts.client_type import fold_account
from jwt_middleware.errors import JWTMiddlewareError

from ..strategies import CHARACTERS
from ..table import table

TYPES = ["email", "mobile", "username", "service", "badge"]


def test_client_types_have_the_numbers_a_form_sends() -> None:
    assert {member.label: int(member) for member in ClientType} == {
        "email": 100,
        "mobile": 101,
        "username": 102,
        "service": 200,
    }


@pytest.mark.parametrize("member", ClientType)
def test_finds_a_client_type_by_its_label(member: ClientType) -> None:
    assert ClientType.named(member.label) is member


@table("label", ["", "Email", "EMAIL", "badge", "100"])
def test_names_the_labels_there_are(label: str) -> None:
    with pytest.raises(ValueError, match="client types are email, mobile, username, service"):
        ClientType.named(label)


@table(
    ("client_type", "account", "name"),
    [
        pytest.param("email", "Ann@Example.ORG", "ann@example.org", id="email-case"),
        pytest.param("username", "Ann", "Ann", id="username-case"),
        pytest.param("badge", "Ann", "Ann", id="custom-type-case"),
        pytest.param("email", "  a@b.c\n", "a@b.c", id="white-space-around"),
        pytest.param("username", "\u3000ann\u00a0", "ann", id="unicode-white-space-around"),
        pytest.param("username", "mary  \u00a0ann", "mary ann", id="white-space-within"),
        pytest.param("mobile", "１３８", "138", id="full-width-digits"),
        pytest.param("username", "ﬁ", "fi", id="ligature"),
        pytest.param("username", "e\u0301", "é", id="combining"),
        pytest.param("email", "STRASSE@x", "strasse@x", id="upper"),
        pytest.param("email", "straße@x", "strasse@x", id="sharp-s"),
        pytest.param("email", "ẞ@x", "ss@x", id="capital-sharp-s"),
        pytest.param("email", "\u212a@x", "k@x", id="kelvin"),
        pytest.param("email", "\u1fb7@x", "\u1fb6ι@x", id="ypogegrammeni"),
        pytest.param("email", "\u1fb6@x", "\u1fb6@x", id="composed-again-after-folding"),
        pytest.param("email", "\u00b4a", "\u0301a", id="white-space-out-of-nfkc"),
        pytest.param("username", "张三", "张三", id="chinese"),
    ],
)
def test_spells_a_name_in_one_way(client_type: str, account: str, name: str) -> None:
    assert normalise_account(account, client_type) == name


@table(
    "account",
    [
        pytest.param("", id="empty"),
        pytest.param(" \t\u3000", id="white-space"),
        pytest.param("a\x00b", id="nul"),
        pytest.param("a\nb", id="newline"),
        pytest.param("a\x7f", id="delete"),
        pytest.param("a\u200bb", id="zero-width-space"),
        pytest.param("a\u200d", id="zero-width-joiner"),
        pytest.param("\ufeffa", id="byte-order-mark"),
        pytest.param("a\u00adb", id="soft-hyphen"),
        pytest.param("a\u202eb", id="right-to-left-override"),
        pytest.param("a\u2028b", id="line-separator"),
        pytest.param("a\u1680b", id="ogham-space"),
        pytest.param("a\ud800", id="surrogate"),
        pytest.param("a\ue000", id="private-use"),
        pytest.param("a\u0378", id="unassigned"),
        pytest.param("a\u034fb", id="grapheme-joiner"),
        pytest.param("a\ufe0f", id="variation-selector"),
        pytest.param("a\U000e0100", id="variation-selector-17"),
        pytest.param("a\u3164b", id="hangul-filler"),
        pytest.param("a\u2800b", id="braille-blank"),
        pytest.param("a\U000e0061", id="tag"),
    ],
)
@table("client_type", ["email", "username"])
def test_refuses_what_no_reader_can_see(account: str, client_type: str) -> None:
    with pytest.raises(ValueError, match="an account's name"):
        normalise_account(account, client_type)


def test_the_refusal_is_an_error_of_ours_too() -> None:
    with pytest.raises(JWTMiddlewareError) as raised:
        normalise_account("a\x00", "email")
    assert isinstance(raised.value, InvalidAccountError)
    assert str(raised.value) == "an account's name cannot contain U+0000"


@table(
    "account",
    [
        pytest.param("a" * 256, id="as-sent"),
        pytest.param("a" * 255 + " ", id="with-white-space"),
        pytest.param("\ufdfa" * 15, id="after-nfkc"),
        pytest.param("ß" * 128, id="after-folding"),
        pytest.param("\u0316\u0301" * 1_000_000, id="quadratic"),
    ],
)
def test_refuses_over_255_characters(account: str) -> None:
    with pytest.raises(ValueError, match="1 to 255 characters"):
        normalise_account(account, "email")


def test_accepts_255_characters() -> None:
    assert normalise_account("a" * 255, "email") == "a" * 255


@given(account=st.text(CHARACTERS), client_type=st.sampled_from(TYPES))
def test_normalising_twice_changes_nothing(account: str, client_type: str) -> None:
    try:
        name = normalise_account(account, client_type)
    except InvalidAccountError:
        return
    assert normalise_account(name, client_type) == name
    assert unicodedata.is_normalized("NFKC", name)
    assert name == name.strip()


@given(account=st.text(CHARACTERS, max_size=40))
def test_spellings_in_another_case_are_one_email(account: str) -> None:
    try:
        name = normalise_account(account, "email")
    except InvalidAccountError:
        return
    assert normalise_account(account.casefold(), "email") == name
    assert normalise_account(name.casefold(), "email") == name


def test_every_character_normalises_to_a_fixed_point() -> None:
    for char in map(chr, range(0x110000)):
        if unicodedata.normalize("NFKC", char.casefold()) != char:
            try:
                name = normalise_account("a" + char, "email")
            except InvalidAccountError:
                continue
            assert normalise_account(name, "email") == name


@given(st.text(st.characters(max_codepoint=0x7F)))
def test_a_name_in_ascii_is_folded_as_any_other(name: str) -> None:
    assert fold_account(f"{name}é") == fold_account(name) + "e"
