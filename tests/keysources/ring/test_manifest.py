from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.keysources.ring.manifest import (
    MAX_RETIRED_RECORDS,
    Manifest,
    RingKey,
    State,
    new_ring,
    ordered,
    parse_manifest,
)

from ...table import table

NOW = 1_800_000_000.0


def entry(kid: str, state: State = "announced", **times: float) -> RingKey:
    return RingKey(kid=kid, alg="ES256", state=state, **times)


def states(manifest: Manifest) -> dict[str, str]:
    return {key.kid: key.state for key in manifest.keys}


@pytest.fixture
def ring() -> Manifest:
    """Return a ring with a key in each state."""
    return ordered(
        [
            entry("d", "retired", retire_after=NOW - 10, retired_at=NOW - 5),
            entry("c", "retiring", retire_after=NOW + 10),
            entry("b", "announced", announced_at=NOW - 20),
            entry("a", "active", active_at=NOW - 20),
        ]
    )


def test_begins_with_an_active_and_an_announced_key() -> None:
    ring = new_ring(entry("a"), entry("b"), now=NOW)
    assert ring.active == entry("a", "active", active_at=NOW)
    assert ring.announced == entry("b", "announced", announced_at=NOW)
    assert (ring.retiring, ring.retired) == ((), ())


def test_keys_stand_by_state(ring: Manifest) -> None:
    assert list(states(ring)) == ["a", "b", "c", "d"]


def test_a_rotation_moves_each_key_one_state_on(ring: Manifest) -> None:
    after = ring.rotated(entry("new"), now=NOW, retire_after=NOW + 60)
    assert list(states(after).items()) == [
        ("b", "active"),
        ("new", "announced"),
        ("a", "retiring"),
        ("c", "retiring"),
        ("d", "retired"),
    ]
    assert after.active.active_at == after.announced.announced_at == NOW
    assert after.active.announced_at == NOW - 20
    a = after.find("a")
    assert (a.active_at, a.retiring_at, a.retire_after) == (NOW - 20, NOW, NOW + 60)


@pytest.mark.parametrize(
    ("now", "state"),
    [
        pytest.param(NOW + 9.999, "retiring", id="just-before"),
        pytest.param(NOW + 10, "retired", id="at-the-end"),
        pytest.param(NOW + 11, "retired", id="after"),
    ],
)
def test_a_key_is_retired_when_its_tokens_have_expired(
    ring: Manifest, now: float, state: str
) -> None:
    after = ring.tidied(now)
    assert states(after) == {"a": "active", "b": "announced", "c": state, "d": "retired"}
    assert after.find("c").retired_at == (now if state == "retired" else None)
    assert (after is ring) is (state == "retiring")
    assert [key.kid for key in ring.verifying(now)] == ["a", "b", "c"][: 3 - (state == "retired")]


@pytest.mark.parametrize(
    ("kid", "after"),
    [
        pytest.param(
            "a",
            {"b": "active", "new": "announced", "c": "retiring", "a": "retired", "d": "retired"},
            id="active",
        ),
        pytest.param(
            "b",
            {"a": "active", "new": "announced", "c": "retiring", "b": "retired", "d": "retired"},
            id="announced",
        ),
        pytest.param(
            "c",
            {"a": "active", "b": "announced", "c": "retired", "d": "retired"},
            id="retiring",
        ),
    ],
)
def test_a_key_can_be_retired_at_once(ring: Manifest, kid: str, after: dict[str, str]) -> None:
    new = None if kid == "c" else entry("new")
    changed = ring.without(kid, new, now=NOW)
    assert list(states(changed).items()) == list(after.items())
    assert changed.find(kid).retired_at == NOW


def test_a_retired_key_stays_so(ring: Manifest) -> None:
    assert ring.without("d", None, now=NOW) is ring


def test_a_kid_must_be_known(ring: Manifest) -> None:
    with pytest.raises(ConfigurationError, match="has the kid 'x'"):
        ring.find("x")


def test_the_oldest_retired_keys_are_forgotten(ring: Manifest) -> None:
    for number in range(MAX_RETIRED_RECORDS + 3):
        ring = ring.rotated(entry(f"{number}"), now=NOW, retire_after=NOW).tidied(NOW)
    assert len(ring.retired) == MAX_RETIRED_RECORDS
    assert ring.retired[0].kid == str(MAX_RETIRED_RECORDS)
    assert list(states(ring).values())[:4] == ["active", "announced", "retiring", "retired"]


def test_what_is_written_is_read(ring: Manifest) -> None:
    assert parse_manifest(ring.to_json()) == ring
    assert b"null" not in ring.to_json()


def test_does_not_care_about_the_order_in_the_file(ring: Manifest) -> None:
    assert parse_manifest(Manifest(ring.keys[::-1]).to_json()) == ring


@table(
    ("document", "reason"),
    [
        pytest.param(b"", "not strict JSON", id="empty"),
        pytest.param(b'{"version": 1, "keys": [', "not strict JSON", id="half-written"),
        pytest.param(b"[]", "not a key ring", id="array"),
        pytest.param(b'{"keys": []}', "version 1", id="no-version"),
        pytest.param(b'{"version": 2, "keys": []}', "version 1", id="another-version"),
        pytest.param(b'{"version": 1}', "has no keys", id="no-keys"),
        pytest.param(b'{"version": 1, "keys": {}}', "has no keys", id="keys-an-object"),
        pytest.param(b'{"version": 1, "keys": [5]}', "other members", id="key-a-number"),
        pytest.param(b'{"version": 1, "keys": []}', "one active key", id="empty-ring"),
    ],
)
def test_refuses_a_document(document: bytes, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        parse_manifest(document)


@table(
    ("members", "reason"),
    [
        pytest.param({"k": "secret"}, "other members", id="unknown-member"),
        pytest.param({"kid": 5}, "without kid", id="kid-a-number"),
        pytest.param({"kid": None}, "without kid", id="kid-null"),
        pytest.param({"kid": "\x1b[2J"}, "without kid", id="kid-that-acts-on-a-terminal"),
        pytest.param({"alg": "none"}, "without kid, alg", id="alg-none"),
        pytest.param({"alg": ["ES256"]}, "without kid, alg", id="alg-a-list"),
        pytest.param({"state": "stolen"}, "alg or state", id="state-unknown"),
        pytest.param({"state": ["active"]}, "alg or state", id="state-a-list"),
        pytest.param({"active_at": "2026-11-23"}, "not seconds", id="time-a-string"),
        pytest.param({"active_at": None}, "not seconds", id="time-null"),
        pytest.param({"active_at": -1}, "not seconds", id="time-negative"),
        pytest.param({"active_at": 10**400}, "not seconds", id="time-huge"),
        pytest.param({"state": "retiring"}, "without retire_after", id="retiring-forever"),
        pytest.param({"state": "announced"}, "one active key", id="none-active"),
        pytest.param({"kid": "b"}, "same kid", id="same-kid"),
    ],
)
def test_refuses_a_key(members: dict[str, Any], reason: str) -> None:
    ring = json.loads(new_ring(entry("a"), entry("b"), now=NOW).to_json())
    ring["keys"][0] |= members
    with pytest.raises(ConfigurationError, match=reason):
        parse_manifest(json.dumps(ring).encode())


def test_refuses_two_announced_keys(ring: Manifest) -> None:
    two = Manifest((*ring.keys, replace(ring.announced, kid="e")))
    with pytest.raises(ConfigurationError, match="one announced key"):
        parse_manifest(two.to_json())
