"""What the limits promise, held against simulated attacks: see :mod:`.simulation`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .simulation import ATTACKS, DAY, HOUR, Attack, Result, Site, simulate

NAT = ATTACKS[-1]


def assert_promise(attack: Attack, result: Result, *, hours: float) -> None:
    strangers, known = 20 + 30 * hours, 10 + 40 * hours
    assert result.guesses <= (known if attack is NAT else strangers)
    assert result.service == 1
    if attack is not NAT:  # where the guesser has the owner's address
        assert result.at_home == 1


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(attack, id=attack.name, marks=[pytest.mark.slow][: attack is not NAT])
        for attack in ATTACKS
    ],
)
def test_an_hour_of_guesses(attack: Attack) -> None:
    slow = replace(attack, guesses_per_second=min(attack.guesses_per_second, 0.25))
    result = simulate(slow, Site(), seconds=HOUR)
    assert result.guesses > 10
    assert_promise(attack, result, hours=1)


def test_an_owner_at_a_new_address_gets_in_beside_one_guesser() -> None:
    slow = replace(ATTACKS[0], guesses_per_second=0.25)
    assert simulate(slow, Site(), seconds=HOUR, owner_abroad=True).abroad == 1


@pytest.mark.full
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_day_of_guesses(attack: Attack) -> None:
    assert_promise(attack, simulate(attack, Site(), seconds=DAY), hours=24)
