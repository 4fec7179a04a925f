from __future__ import annotations

import pytest

from jwt_middleware.keysources.remote.freshness import LONGEST_SECONDS, max_age_seconds


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        pytest.param(None, None, id="no header"),
        pytest.param("", None, id="empty"),
        pytest.param("public", None, id="no max-age"),
        pytest.param("max-age=600", 600, id="max-age"),
        pytest.param("max-age=0", 0, id="0"),
        pytest.param("public, Max-Age=600, must-revalidate", 600, id="among others, any case"),
        pytest.param('max-age="600"', 600, id="quoted"),
        pytest.param('x="a, max-age=1", max-age=600', 600, id="inside another's string"),
        pytest.param('x="\\", max-age=1", max-age=600', 600, id="inside an escaped string"),
        pytest.param("s-maxage=1, max-age=600", 600, id="s-maxage is for shared caches"),
        pytest.param("s-maxage=1", None, id="s-maxage alone"),
        pytest.param("max-age=600, max-age=60", 600, id="the first of two"),
        pytest.param("max-age=600, no-cache", 0, id="no-cache"),
        pytest.param("no-store", 0, id="no-store"),
        pytest.param("max-age", 0, id="no number"),
        pytest.param("max-age=-1", 0, id="negative"),
        pytest.param("max-age=1.5", 0, id="fraction"),
        pytest.param("max-age=\u0661", 0, id="digits of another script"),
        pytest.param("max-age=4294967296", LONGEST_SECONDS, id="more than 31 bits"),
        pytest.param("max-age=" + "9" * 5000, LONGEST_SECONDS, id="more digits than int() takes"),
    ],
)
def test_reads_cache_control(cache_control: str | None, seconds: int | None) -> None:
    assert max_age_seconds(cache_control) == seconds


@pytest.mark.parametrize(
    ("age", "seconds"), [(None, 600), ("0", 600), ("200", 400), ("700", 0), ("x", 600)]
)
def test_subtracts_the_time_spent_in_caches(age: str | None, seconds: int) -> None:
    assert max_age_seconds("max-age=600", age) == seconds
