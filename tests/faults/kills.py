"""
A process is killed while it uses a refresh token, or ends a session: at every line of it in turn.

What must hold afterwards, whichever line it was: the client that asks again gets in, a token that
was used and followed by another is of no use any more, and what was revoked stays so.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import jwt_middleware
from jwt_middleware import JWTPayload, Key, KeySet, TokenIssuer, TokenVerifier
from jwt_middleware.errors import InvalidGrantError, RevokedTokenError
from jwt_middleware.sessions import Sessions, SessionStore

ISSUER = "https://auth.example.com"
KEYS = KeySet([Key.from_secret(b"faults need a secret of 32 bytes", kid="1")])
TRACED = tuple(str(Path(jwt_middleware.__file__).parent / name) for name in ("sessions", "sql"))

Act = Callable[[], object]


@dataclass
class Kills:
    """
    What was counted.

    Attributes:
        kills: Processes that were killed.
        lines: At how many different lines of a use, or an end, or a replay.
        lost: Sessions whose client could not go on.
        used_twice: Tokens that were good after their successor had been used.
        alive: Tokens that were good after they had been revoked, or ended by half.
    """

    kills: int = 0
    lines: int = 0
    lost: int = 0
    used_twice: int = 0
    alive: int = 0

    @property
    def bad(self) -> int:
        """What must not be."""
        return self.lost + self.used_twice + self.alive


class Victims:
    """
    Kills processes, and looks at what they leave.

    Args:
        store: Shared with the processes.
    """

    def __init__(self, store: SessionStore) -> None:
        self.counts = Kills()
        self._sessions = Sessions(
            store=store,
            issuer=TokenIssuer(keys=KEYS, issuer=ISSUER, audience="api"),
            max_delay_seconds=0,
        )
        self._verifier = TokenVerifier(
            keys=KEYS, issuer=ISSUER, audience="api", is_revoked=self._sessions.revocations
        )

    def run(self, kills: int) -> Kills:
        """Kill so many processes."""
        checks = (self._refreshing, self._ending, self._replaying)
        line = [1] * len(checks)
        while self.counts.kills < kills:
            for number, check in enumerate(checks):
                if check(line[number]):
                    self.counts.kills += 1
                    self.counts.lines = max(self.counts.lines, line[number])
                    line[number] += 1
                else:  # it was through before that line
                    line[number] = 1
        return self.counts

    def _refreshing(self, line: int) -> bool:
        first = self._start()
        killed = killed_at(line, lambda: self._sessions.refresh(first.text))
        second = self._refresh(first.text)
        third = second and self._refresh(second.text)
        if second is None or third is None:
            self.counts.lost += 1
            return killed
        if self._refresh(first.text) is not None:
            self.counts.used_twice += 1
        self._count_alive(first, second, third)
        return killed

    def _ending(self, line: int) -> bool:
        one = self._start()
        sid = self._verifier.verify(one.token).claims["sid"]
        killed = killed_at(line, lambda: self._sessions.end(sid))
        if self._sessions.find(one.text) is None:
            self._count_alive(one)
        elif not self._is_good(one.token):
            self.counts.alive += 1  # half of it: the refresh token
        self._sessions.end(sid)
        self._count_alive(one)
        return killed

    def _replaying(self, line: int) -> bool:
        first = self._start()
        second = self._refresh(first.text)
        third = second and self._refresh(second.text)
        killed = killed_at(line, lambda: self._sessions.refresh(first.text))
        if second is None or third is None:
            self.counts.lost += 1
            return killed
        if self._sessions.find(third.text) is None:
            self._count_alive(first, second, third)
        elif self._refresh(third.text) is None:
            self.counts.lost += 1
        return killed

    def _start(self) -> _Tokens:
        return _Tokens.of(self._sessions.start(JWTPayload(uid=42)))

    def _refresh(self, text: str) -> _Tokens | None:
        try:
            return _Tokens.of(self._sessions.refresh(text))
        except InvalidGrantError:
            return None

    def _is_good(self, token: str) -> bool:
        try:
            self._verifier.verify(token)
        except RevokedTokenError:
            return False
        return True

    def _count_alive(self, *ended: _Tokens) -> None:
        for one in ended:
            self.counts.alive += self._is_good(one.token)
            self.counts.alive += self._sessions.find(one.text) is not None


@dataclass
class _Tokens:
    token: str
    text: str

    @classmethod
    def of(cls, grant: Any) -> _Tokens:
        return cls(grant.issued.token, grant.refresh_token)


def killed_at(number: int, act: Act) -> bool:
    """
    Act in a process of its own, and kill that before the line of this number.

    Returns:
        Whether there was such a line.
    """
    child = os.fork()
    if child == 0:
        try:
            sys.settrace(_Killer(number))
            act()
        except InvalidGrantError:
            pass
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


class _Killer:
    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self, frame: FrameType, event: str, _: object) -> _Killer | None:
        if not frame.f_code.co_filename.startswith(TRACED):
            return None
        if event == "line":
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()  # until it arrives
        return self
