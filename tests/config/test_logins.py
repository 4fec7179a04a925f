from __future__ import annotations

from pathlib import Path

import pytest
from webtest import TestApp

from jwt_middleware import wrap

from .writing import (
    ACCOUNTS,
    app,
    write,
)


class TestVerifiersOfTheApp:
    @pytest.mark.parametrize("accounts", ["", ACCOUNTS])
    def test_log_their_client_type_in(self, folder: Path, accounts: str) -> None:
        named = '[endpoint.verifiers]\nldap = "tests.config.writing:verify_ldap"\n'
        named += '[endpoint.subjects]\nldap = "ldap:{uid}"\n'
        site = TestApp(wrap(write(folder, named + accounts), app))
        answer = site.post_json("/token", {"account": "ann", "secret": "x", "type": "ldap"})
        assert answer.json["token_type"] == "Bearer"
        status = 503 if accounts else 400  # the database is not there; or no such client type
        site.post_json("/token", {"account": "a", "secret": "x", "type": "email"}, status=status)
