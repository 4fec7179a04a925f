from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import inf, nan
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jwt_middleware.core.claims import (
    check_audience,
    check_expiry,
    check_issuer,
    check_not_before,
    check_subject,
    check_times,
    check_token_id,
    check_use,
    has_control_characters,
)
from jwt_middleware.errors import (
    ExpiredTokenError,
    ImmatureTokenError,
    InvalidClaimError,
    MissingClaimError,
)

from ..strategies import CHARACTERS
from ..table import table

NOW = 1_800_000_000.0

DATES: list[object] = [
    *(None, True, False, "1800000060", "", [], [1_800_000_060], {}, nan, inf, -inf),
    *(10**309, -(10**309), 10**4000),
]
NOT_NUMERIC_DATES = [pytest.param(date, id=repr(date)[:20]) for date in DATES]


@table("leeway", [0, 0.5, 300])
@table(
    ("exp", "leeway_back"),
    [
        pytest.param(NOW + 1, 0, id="a-second-left"),
        pytest.param(NOW + 0.001, 0, id="a-millisecond-left"),
        pytest.param(NOW + 0.001, 1, id="inside-the-leeway"),
    ],
)
def test_accepts_a_token_before_its_expiry(exp: float, leeway_back: int, leeway: float) -> None:
    exp -= leeway * leeway_back
    assert check_expiry({"exp": exp}, now=NOW, leeway_seconds=leeway) == exp + leeway


@table("leeway", [0, 0.5, 300])
@table("late", [0, 0.001, 1, 1e6])
def test_rejects_a_token_at_and_after_its_expiry(late: float, leeway: float) -> None:
    with pytest.raises(ExpiredTokenError) as caught:
        check_expiry({"exp": NOW - leeway - late}, now=NOW, leeway_seconds=leeway)
    assert caught.value.claim == "exp"
    assert f"expired {late:.0f} s ago (leeway {leeway} s)" in str(caught.value)


@pytest.mark.parametrize("exp", [0, -1, -1e308, -0.0])
def test_rejects_an_expiry_long_ago(exp: float) -> None:
    with pytest.raises(ExpiredTokenError):
        check_expiry({"exp": exp}, now=NOW, leeway_seconds=300)


def test_rejects_a_token_without_expiry() -> None:
    with pytest.raises(MissingClaimError) as caught:
        check_expiry({}, now=NOW, leeway_seconds=0)
    assert caught.value.claim == "exp"


@table("value", NOT_NUMERIC_DATES)
def test_rejects_an_expiry_that_is_no_finite_number(value: object) -> None:
    with pytest.raises(InvalidClaimError, match="exp is not a finite") as caught:
        check_expiry({"exp": value}, now=NOW, leeway_seconds=0)
    assert not isinstance(caught.value, ExpiredTokenError | MissingClaimError)


@table("name", ["nbf", "iat"])
@table("leeway", [0, 0.5, 300])
@table("ago", [0, 0.001, 1e6])
def test_accepts_a_token_from_its_beginning(name: str, ago: float, leeway: float) -> None:
    begins = NOW + leeway - ago
    assert check_not_before({name: begins}, now=NOW, leeway_seconds=leeway) == begins - leeway


@table("name", ["nbf", "iat"])
@table("leeway", [0, 0.5, 300])
@table("ahead", [0.001, 1, 1e6])
def test_rejects_a_token_before_its_beginning(name: str, ahead: float, leeway: float) -> None:
    with pytest.raises(ImmatureTokenError, match=f"{name} is {ahead:.0f} s ahead") as caught:
        check_not_before({name: NOW + leeway + ahead}, now=NOW, leeway_seconds=leeway)
    assert caught.value.claim == name


@table("name", ["nbf", "iat"])
@table("value", NOT_NUMERIC_DATES)
def test_rejects_a_beginning_that_is_no_finite_number(name: str, value: object) -> None:
    with pytest.raises(InvalidClaimError, match=f"{name} is not a finite") as caught:
        check_not_before({name: value}, now=NOW, leeway_seconds=0)
    assert not isinstance(caught.value, ImmatureTokenError)


def test_a_token_without_beginning_is_always_old_enough() -> None:
    assert check_not_before({}, now=NOW, leeway_seconds=0) == 0


def test_the_later_beginning_counts() -> None:
    claims = {"nbf": NOW - 5, "iat": NOW - 9}
    assert check_not_before(claims, now=NOW, leeway_seconds=2) == NOW - 7
    with pytest.raises(ImmatureTokenError):
        check_not_before({"nbf": NOW, "iat": NOW + 1}, now=NOW, leeway_seconds=0)


def test_accepts_the_issuer() -> None:
    known = {"https://a.example": "what is known of it"}
    assert check_issuer({"iss": "https://a.example"}, known) == "what is known of it"


@table(
    "value",
    [
        pytest.param(value, id=repr(value))
        for value in (
            *("", "https://a", "https://a.example/", "https://A.example", "https://a.example.org"),
            *(" https://a.example", ["https://a.example"], {"https://a.example": 1}, None, 1, True),
        )
    ],
)
def test_rejects_another_issuer(value: object) -> None:
    with pytest.raises(InvalidClaimError) as caught:
        check_issuer({"iss": value}, {"https://a.example": None})
    assert caught.value.claim == "iss"


@table("value", ["api", ["api"], ["x", "api"], ["api", "api"], "web", ["web"]], ids=repr)
def test_accepts_an_audience_among_ours(value: object) -> None:
    check_audience({"aud": value}, frozenset({"api", "web"}))


@table(
    "value",
    [
        pytest.param(value, id=repr(value))
        for value in (
            *("", "ap", "apis", "API", " api", [], [""], ["x"], [["api"]], ["api", 1], [None]),
            *(["api", ["x"]], [{"api": 1}], {"api": 1}, None, 1, 1.5, True),
        )
    ],
)
def test_rejects_an_audience_not_ours(value: object) -> None:
    with pytest.raises(InvalidClaimError) as caught:
        check_audience({"aud": value}, frozenset({"api"}))
    assert caught.value.claim == "aud"


@table("subject", ["42", " ", "https://a/b?c=d", "Zoë 漢字 😀", "x" * 5000])
def test_accepts_a_subject(subject: str) -> None:
    check_subject({"sub": subject})


@table("value", ["", 42, None, True, [], ["42"], {}, 4.2], ids=repr)
def test_rejects_a_subject_that_is_no_text(value: object) -> None:
    with pytest.raises(InvalidClaimError) as caught:
        check_subject({"sub": value})
    assert caught.value.claim == "sub"


@table(
    "value",
    [
        *("a\nb", "a\rb", "a\x00", "\t", "\x1b[31m", "\x7f", "\x85", "a\u2028b", "\u2029"),
        "\ud800",
    ],
    ids=ascii,
)
def test_rejects_a_subject_with_control_characters(value: str) -> None:
    with pytest.raises(InvalidClaimError) as caught:
        check_subject({"sub": value})
    assert caught.value.claim == "sub"


@pytest.mark.parametrize(
    ("check", "claim"),
    [
        (lambda: check_issuer({}, {"a": None}), "iss"),
        (lambda: check_audience({}, {"a"}), "aud"),
        (lambda: check_subject({}), "sub"),
    ],
)
def test_rejects_a_token_without(check: Callable[[], None], claim: str) -> None:
    with pytest.raises(MissingClaimError, match=f"{claim} is missing") as caught:
        check()
    assert caught.value.claim == claim


@pytest.mark.parametrize("claims", [{}, {"jti": ""}, {"jti": "a"}])
def test_accepts_a_token_id(claims: dict[str, object]) -> None:
    check_token_id(claims)


@table("value", [None, 1, True, [], ["a"], {}], ids=repr)
def test_rejects_a_token_id(value: object) -> None:
    with pytest.raises(InvalidClaimError) as caught:
        check_token_id({"jti": value})
    assert caught.value.claim == "jti"


@table(
    "claims",
    [
        pytest.param(claims, id=repr(claims))
        for claims in (
            *({}, {"typ": "Bearer"}, {"typ": "at+jwt"}, {"typ": "JWT"}, {"typ": "access"}),
            *({"token_use": "access"}, {"token_type": "access"}, {"token_type": "Bearer"}),
            *({"type": "access"}, {"type": "premium"}, {"type": 5}),
            *({"nonce": "n", "scope": ""}, {"nonce": "n", "scp": ["a"]}),
        )
    ],
)
def test_accepts_the_use(claims: dict[str, object]) -> None:
    check_use(claims)


@table(
    ("claims", "claim"),
    [
        pytest.param(claims, claim, id=repr(claims))
        for claims, claim in (
            ({"typ": "Refresh"}, "typ"),
            ({"typ": "ID"}, "typ"),
            ({"typ": ""}, "typ"),
            ({"typ": None}, "typ"),
            ({"typ": ["Bearer"]}, "typ"),
            ({"token_use": "id"}, "token_use"),
            ({"token_use": True}, "token_use"),
            ({"token_type": "refresh"}, "token_type"),
            ({"typ": "Bearer", "token_type": "refresh"}, "token_type"),
            ({"type": "refresh"}, "type"),
            ({"type": "Refresh_Token"}, "type"),
            ({"type": "id"}, "type"),
            ({"at_hash": "x"}, "at_hash"),
            ({"c_hash": None}, "c_hash"),
            ({"events": {}}, "events"),
            ({"nonce": "n"}, "nonce"),
            ({"nonce": "n", "scope": None}, "nonce"),
            ({"nonce": "n", "roles": ["a"]}, "nonce"),
        )
    ],
)
def test_rejects_another_use(claims: dict[str, object], claim: str) -> None:
    with pytest.raises(InvalidClaimError) as caught:
        check_use(claims)
    assert caught.value.claim == claim


@table("character", ["\x00", "\x1f", "\x7f", "\x9f", "\u2028", "\ud800"])
def test_finds_control_characters(character: str) -> None:
    assert has_control_characters(f"a{character}b")


@table("text", ["", "a b", "\u00a0", "\u00ad", "\u200d", "漢"])
def test_finds_none_in_other_text(text: str) -> None:
    assert not has_control_characters(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(CHARACTERS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS), inner, max_size=3)
    ),
    max_leaves=4,
)


@given(
    st.dictionaries(
        st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "typ", "type"]), values
    )
)
def test_each_check_passes_or_raises_invalid_claim(claims: dict[str, Any]) -> None:
    for check in (
        lambda: check_expiry(claims, now=NOW, leeway_seconds=1),
        lambda: check_not_before(claims, now=NOW, leeway_seconds=1),
        lambda: check_issuer(claims, {"a": None}),
        lambda: check_audience(claims, {"a"}),
        lambda: check_subject(claims),
        lambda: check_token_id(claims),
        lambda: check_use(claims),
    ):
        with suppress(InvalidClaimError):
            check()


SOME_DATES = st.one_of(
    st.integers(int(NOW) - 20, int(NOW) + 20),
    st.floats(NOW - 20, NOW + 20),
    st.integers(),
    st.sampled_from([10**400, -(10**400), float("inf"), float("nan"), True, None, "1", 1e300]),
)


@given(
    st.fixed_dictionaries({}, optional={"exp": SOME_DATES, "nbf": SOME_DATES, "iat": SOME_DATES}),
    st.sampled_from([0, 5, 0.5, 300]),
)
@example({"exp": int(NOW) + 1, "nbf": int(NOW)}, 0)
@example({"exp": int(NOW), "iat": int(NOW)}, 0)
def test_times_are_checked_as_one_by_one(claims: dict[str, Any], leeway: float) -> None:
    def outcome(check: Callable[[], object]) -> object:
        try:
            return check()
        except InvalidClaimError as error:
            return type(error), str(error)

    def one_by_one() -> tuple[float, float]:
        until = check_expiry(claims, now=NOW, leeway_seconds=leeway)
        return check_not_before(claims, now=NOW, leeway_seconds=leeway), until

    together = outcome(lambda: check_times(claims, NOW, leeway))
    expected = outcome(one_by_one)
    if isinstance(together, tuple) and isinstance(together[0], int | float):
        # From then to now it is good in any case; before, it is verified again.
        assert isinstance(expected, tuple)
        assert min(expected[0], 0) - leeway <= together[0] <= NOW
        assert together[0] + leeway >= expected[0]
        assert together[1] == expected[1]
    else:
        assert together == expected
