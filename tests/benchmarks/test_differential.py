"""We accept nothing that both others refuse, and are stricter only in ways that have a name."""

from __future__ import annotations

import warnings

import pytest

from .differential import SEED, TOKENS, Outcome, compare
from .mutations import mutated_tokens
from .strictness import STRICTNESSES, name_of


def outcome_of(count: int) -> Outcome:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both others warn of things and go on
        return compare(mutated_tokens(count, seed=SEED))


@pytest.mark.parametrize(
    "count", [1000, pytest.param(TOKENS, marks=pytest.mark.full)], ids=["short", "full"]
)
def test_no_laxer_than_both_and_stricter_by_name(count: int) -> None:
    outcome = outcome_of(count)
    assert sum(outcome.counts.values()) == count
    assert not outcome.too_lax
    assert not outcome.unnamed
    # It means something only if all of them are often asked for a yes.
    assert outcome.counts["PyJWT and joserfc and ours"] > count / 20
    assert len(outcome.strictnesses) > 5
    assert outcome.strictnesses.keys() <= STRICTNESSES.keys()


def test_the_same_seed_makes_the_same_tokens() -> None:
    assert [*mutated_tokens(50, seed=1)] == [*mutated_tokens(50, seed=1)]
    assert [*mutated_tokens(50, seed=1)] != [*mutated_tokens(50, seed=2)]


def test_a_good_token_has_no_name() -> None:
    accepted = (token for token in mutated_tokens(200, seed=SEED) if _is_plain(token))
    assert name_of(next(accepted)) is None


def _is_plain(token: str) -> bool:
    return compare([token]).counts["PyJWT and joserfc and ours"] == 1
