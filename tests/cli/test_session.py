from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from jwt_middleware import JWTPayload, Sessions
from jwt_middleware.core.jws import decode_object, split
from jwt_middleware.sessions import Grant, Session

Invoke = Callable[..., Result]

ANN = JWTPayload(uid=42, scope="read write", ac_type="email")
BOB = JWTPayload(uid="bob", ac_type="ldap")
TIME = re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z")


def sid_of(grant: Grant) -> str:
    return str(decode_object(split(grant.issued.token).payload, "payload")["sid"])


def expire(sessions: Sessions, session: Session) -> None:
    """Put a session into the store that has been over for a day."""
    day = 86_400
    ended = session.created_at - day
    sessions.store.add(
        replace(
            session,
            sid="x" * 22,
            created_at=ended - day,
            used_at=ended - day,
            expires_at=ended,
            ends_at=ended,
            tokens_until=ended,
        )
    )


class TestList:
    def test_shows_who_is_logged_in(self, invoke: Invoke, sessions: Sessions) -> None:
        ann, bob = sessions.start(ANN), sessions.start_unrefreshable(BOB)
        result = invoke("session", "list")
        assert (result.exit_code, result.stderr) == (0, "")
        heading, *lines = result.stdout.splitlines()
        assert heading == "sid\tuid\ttype\tscope\tcreated\tused\texpires\tends"
        found = {line.split("\t")[0]: line.split("\t")[1:] for line in lines}
        assert found.keys() == {sid_of(ann), sid_of(bob)}
        assert found[sid_of(ann)][:3] == ["42", "email", "read write"]
        assert found[sid_of(bob)][:3] == ["bob", "ldap", ""]
        assert all(TIME.fullmatch(time) for line in found.values() for time in line[3:])

    def test_can_be_of_one_uid(self, invoke: Invoke, sessions: Sessions) -> None:
        ann, _ = sessions.start(ANN), sessions.start(BOB)
        _, *lines = invoke("session", "list", "--uid", "42").stdout.splitlines()
        assert [line.split("\t")[0] for line in lines] == [sid_of(ann)]

    def test_leaves_out_what_has_expired(self, invoke: Invoke, sessions: Sessions) -> None:
        found = sessions.store.find(sid_of(sessions.start(ANN)))
        assert found is not None
        expire(sessions, found)
        _, *lines = invoke("session", "list").stdout.splitlines()
        assert [line.split("\t")[0] for line in lines] == [found.sid]

    def test_of_nothing_is_a_heading(self, invoke: Invoke, sessions: Sessions) -> None:
        assert invoke("sessions", "list").stdout.count("\n") == 1


class TestShow:
    def test_tells_all_but_the_hash(self, invoke: Invoke, sessions: Sessions) -> None:
        grant = sessions.start(ANN)
        result = invoke("session", "show", sid_of(grant))
        assert result.exit_code == 0
        shown = dict(line.split("\t") for line in result.stdout.splitlines())
        times = {name: shown.pop(name) for name in ("created", "used", "expires", "ends")}
        assert shown == {
            "sid": sid_of(grant),
            "uid": "42",
            "type": "email",
            "scope": "read write",
            "auth": "blue",
            "refreshable": "yes",
        }
        assert all(TIME.fullmatch(one) for one in times.values())

    def test_tells_one_that_cannot_be_refreshed(self, invoke: Invoke, sessions: Sessions) -> None:
        sid = sid_of(sessions.start_unrefreshable(BOB))
        assert "refreshable\tno" in invoke("session", "show", sid).stdout

    @pytest.mark.parametrize("sid", ["nothing", "-nothing", "-h-and-more", ""])
    def test_of_none_fails(self, invoke: Invoke, sessions: Sessions, sid: str) -> None:
        result = invoke("session", "show", sid)
        assert (result.exit_code, result.stdout) == (1, "")
        assert (
            result.stderr == f"Error: there is no session {sid!r}: it has ended or never existed\n"
        )

    def test_of_one_that_has_expired_fails(self, invoke: Invoke, sessions: Sessions) -> None:
        found = sessions.store.find(sid_of(sessions.start(ANN)))
        assert found is not None
        expire(sessions, found)
        assert invoke("session", "show", "x" * 22).exit_code == 1


class TestRevoke:
    def test_ends_a_session_and_its_tokens(self, invoke: Invoke, sessions: Sessions) -> None:
        grant, other = sessions.start(ANN), sessions.start(ANN)
        result = invoke("session", "revoke", sid_of(grant))
        assert (result.exit_code, result.stdout) == (0, f"ended session {sid_of(grant)}\n")
        refused = invoke("token", "verify", stdin=grant.issued.token)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith("Error: revoked_token: ")
        assert invoke("token", "verify", stdin=other.issued.token).exit_code == 0

    def test_takes_a_sid_that_looks_like_an_option(
        self, invoke: Invoke, sessions: Sessions
    ) -> None:
        found = sessions.store.find(sid_of(sessions.start(ANN)))
        assert found is not None
        for sid in ("-hSZ0aTr3mXqkV7cYw1D5g", "-cSZ0aTr3mXqkV7cYw1D5g", "--SZ0aTr3mXqkV7cYw1D5g"):
            sessions.store.add(replace(found, sid=sid))
            assert invoke("session", "revoke", sid).exit_code == 0

    def test_fails_the_second_time(self, invoke: Invoke, sessions: Sessions) -> None:
        sid = sid_of(sessions.start(ANN))
        invoke("session", "revoke", sid)
        result = invoke("session", "revoke", sid)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: there is no session ")


class TestPrune:
    def test_removes_what_has_expired(self, invoke: Invoke, sessions: Sessions) -> None:
        found = sessions.store.find(sid_of(sessions.start(ANN)))
        assert found is not None
        expire(sessions, found)
        assert invoke("sessions", "prune").stdout == "removed 1 expired entries\n"
        assert invoke("sessions", "prune").stdout == "removed 0 expired entries\n"
        assert [one.sid for one in sessions.store.list()] == [found.sid]


class TestStore:
    def test_can_be_prepared(self, invoke: Invoke, sessions: Sessions, folder: Path) -> None:
        sessions.store.close()
        for file in folder.glob("sessions.db*"):
            file.unlink()
        assert invoke("sessions", "create-schema").exit_code == 0
        assert (folder / "sessions.db").stat().st_mode & 0o777 == 0o600
        assert invoke("session", "list").exit_code == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            ("session", "list"),
            ("session", "show", "a"),
            ("session", "revoke", "a"),
            ("sessions", "prune"),
            ("token", "revoke", "--jti", "a"),
            ("account", "logout-everywhere", "--uid", "42"),
        ],
        ids=" ".join,
    )
    def test_must_be_configured_and_shared(
        self, invoke: Invoke, folder_with_endpoint: Path, arguments: tuple[str, ...]
    ) -> None:
        result = invoke(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: jwt.toml: sessions: is missing: add a [sessions]")
        config = folder_with_endpoint / "jwt.toml"
        config.write_text(config.read_text() + '[sessions]\nurl = "memory://"\n')
        result = invoke(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "memory:// is only in the running app" in result.stderr
        assert result.stderr.count("\n") == 1

    def test_that_is_down_is_one_line(self, invoke: Invoke, sessions: Sessions) -> None:
        config = Path("jwt.toml")
        config.write_text(config.read_text().replace("sessions.db", "no/such/folder/sessions.db"))
        for arguments in (["list"], ["show", "a"], ["revoke", "a"], ["prune"]):
            result = invoke("session", *arguments)
            assert (result.exit_code, result.stdout) == (1, "")
            assert result.stderr.startswith("Error: database ")
            assert result.stderr.count("\n") == 1
