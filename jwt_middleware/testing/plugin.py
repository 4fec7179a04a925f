"""
Fixtures for pytest, for suites that ask for them in their ``conftest.py``.

::

    pytest_plugins = ["jwt_middleware.testing.plugin"]


    @pytest.fixture
    def app():
        return wrap("jwt.toml", "myapp:app")

============== =================================================================================
fixture        value
============== =================================================================================
``jwt_app``    :class:`~jwt_middleware.testing.TestApp` of the fixture ``app``, whose clock stands
               still
``jwt_clock``  the :class:`~jwt_middleware.testing.FrozenClock` of ``jwt_app`` and ``jwt_issuer``
``jwt_issuer`` an :class:`~jwt_middleware.testing.IssuerServer` that is running
``bad_token``  each :class:`~jwt_middleware.testing.BadToken` in turn
============== =================================================================================

Each imports what it needs when a test asks for it.
"""

# ruff: noqa: PLC0415  that is what this module is for

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from . import FrozenClock, IssuerServer, TestApp


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``bad_token`` with each of them."""
    if "bad_token" in metafunc.fixturenames:
        from . import BadToken

        metafunc.parametrize("bad_token", list(BadToken), ids=[bad.name for bad in BadToken])


@pytest.fixture
def jwt_clock() -> FrozenClock:
    """Return a clock that tells the time of now until it is moved."""
    from . import FrozenClock

    return FrozenClock()


@pytest.fixture
def jwt_issuer(jwt_clock: FrozenClock) -> Iterator[IssuerServer]:
    """Run an issuer on loopback."""
    from . import IssuerServer

    with IssuerServer(clock=jwt_clock) as server:
        yield server


@pytest.fixture
def jwt_app(request: pytest.FixtureRequest, jwt_clock: FrozenClock) -> Iterator[TestApp]:
    """Return a client of the fixture ``app``, at a time that stands still."""
    from . import TestApp, frozen

    issuer = None
    app = request.getfixturevalue("app")
    client = TestApp(app)
    if "jwt_issuer" in request.fixturenames:
        server: IssuerServer = request.getfixturevalue("jwt_issuer")
        if server.url in client.middleware.verifier.trusted:
            issuer = server.issuer
    with frozen(app, jwt_clock):
        yield TestApp(app, issuer=issuer)
