from __future__ import annotations

import logging

import pytest

from .support import Refusals, Site, good_token


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def refusals(caplog: pytest.LogCaptureFixture) -> Refusals:
    caplog.set_level(logging.DEBUG)
    return Refusals(caplog, good_token(scope="admin"))
