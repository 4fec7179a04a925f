"""What each provider's tokens get under the configuration that its page documents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jwt_middleware.cli.init.providers import PROVIDERS
from jwt_middleware.config import load

from .shapes import SHAPES, Neighbour, Shape
from .world import BEARER, World, headers_with, judged, open_world

PAGES = Path(__file__).parents[2] / "docs" / "providers"

# Beside every token.
COMMON = (
    Neighbour("another's key under its kid", key="another's"),
    Neighbour("expired", {"exp": 1_700_003_600}),
    Neighbour("another issuer", {"iss": "https://evil.example.com"}),
    Neighbour("no issuer", {"iss": ...}),
    Neighbour("no expiry", {"exp": ...}),
    Neighbour("another audience", {"aud": "other", "client_id": "other", "azp": "other"}),
)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch, open_world(patch.setenv) as world:
        yield world


def named(shape: Shape) -> str:
    return f"{shape.provider}: {shape.token}"


@pytest.mark.parametrize("shape", SHAPES, ids=named)
def test_is_accepted_as_documented_and_its_neighbours_are_not(shape: Shape, world: World) -> None:
    got = judged(world, shape)
    assert (got["status"], got["user"]) == (200, shape.subject)
    assert got["scopes"] == sorted(shape.scopes)
    assert got["rule"] == 200
    assert got["neighbours"] == {one.label: one.status for one in shape.neighbours}


@pytest.mark.parametrize("shape", SHAPES, ids=named)
def test_is_refused_where_something_is_wrong(shape: Shape, world: World) -> None:
    world.publish(shape)
    app = world.app(shape)
    for neighbour in COMMON:
        headers = headers_with(world.token(shape, neighbour), shape)
        answer = app.get("/", headers=headers, expect_errors=True)
        assert answer.status_int == 401, neighbour.label


@pytest.mark.parametrize("shape", SHAPES, ids=named)
@pytest.mark.slow
def test_is_refused_by_every_other_providers_configuration(shape: Shape, world: World) -> None:
    others = {one.provider: one for one in SHAPES if one.values != shape.values}
    token = world.token(shape)
    for other in others.values():
        world.publish(other)
        headers = headers_with(token, shape) | headers_with(token, other)
        answer = world.app(other).get("/", headers=headers, expect_errors=True)
        assert answer.status_int in {400, 401}, other.provider


def test_a_bearer_token_is_sent_to_its_origin_alone(world: World) -> None:
    shape = next(one for one in SHAPES if one.provider == "kubernetes")
    world.hosts.authorizations.clear()
    judged(world, shape)
    assert world.hosts.authorizations == {next(iter(shape.documents)): f"Bearer {BEARER}"}


def test_every_provider_has_a_shape_and_a_page() -> None:
    assert {shape.provider for shape in SHAPES} == set(PROVIDERS)
    assert {page.stem for page in PAGES.glob("*.md")} - {"README"} == set(PROVIDERS)


@pytest.mark.parametrize("name", PROVIDERS)
def test_page_has_the_table_and_the_rule(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert blocks == [PROVIDERS[name].table, PROVIDERS[name].rule]


@pytest.mark.parametrize("name", PROVIDERS)
def test_page_shows_the_tokens_that_are_tested(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    shapes = [shape for shape in SHAPES if shape.provider == name]
    assert [json.loads(block) for block in blocks] == [dict(shape.claims) for shape in shapes]
    for shape in shapes:
        assert f"`REMOTE_USER` is `{shape.subject}`" in page


@pytest.mark.parametrize("name", PROVIDERS)
def test_table_can_be_loaded_as_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / "jwt.toml").write_text(PROVIDERS[name].render(), encoding="utf-8")
    settings = load(tmp_path / "jwt.toml")
    assert len(settings.trusted) == 1
    settings.request.build(settings.rules)
    for word in PROVIDERS[name].fill_in:
        assert word in PROVIDERS[name].table + PROVIDERS[name].rule
