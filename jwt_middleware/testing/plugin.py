"""
Pytest fixtures, enabled in a ``conftest.py``.

::

    pytest_plugins = ["jwt_middleware.testing.plugin"]


    @pytest.fixture
    def app():
        return wrap("jwt.toml", "myapp:app")

============== =================================================================================
fixture        value
============== =================================================================================
``jwt_app``    :class:`~jwt_middleware.testing.TestApp` of the fixture ``app``, with a frozen
               clock
``jwt_clock``  the :class:`~jwt_middleware.testing.FrozenClock` of ``jwt_app`` and ``jwt_issuer``
``jwt_issuer`` a running :class:`~jwt_middleware.testing.IssuerServer`
``bad_token``  each :class:`~jwt_middleware.testing.BadToken` in turn
============== =================================================================================

Each fixture imports its modules on first use.
"""

# ruff: noqa: PLC0415  fixtures import on first use

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from . import FrozenClock, IssuerServer, TestApp


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise tests with the fixture ``bad_token`` over all kinds."""
    if "bad_token" in metafunc.fixturenames:
        from . import BadToken

        metafunc.parametrize("bad_token", list(BadToken), ids=[bad.name for bad in BadToken])


@pytest.fixture
def jwt_clock() -> FrozenClock:
    """Return a clock frozen at the current time."""
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
    """Return a client of the fixture ``app`` with a frozen clock."""
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
