"""Sessions in Redis or Valkey, for many processes and hosts.  Needs the extra ``redis``."""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar, cast, get_args

from redis import Redis

from ....core.payload import JWTPayload
from ....core.trust import MAX_LEEWAY_SECONDS
from ....errors import ConfigurationError
from ...session import Session
from ...store import NAMED_SECONDS, Changes, Cursor, Kind, Outcome, Revocation, Rotation
from . import scripts as scripts
from .server import RedisServer

T = TypeVar("T")

_PAGE_SIZE: Final = 500
_KINDS: Final[Mapping[str, Kind]] = {kind: kind for kind in get_args(Kind)}
_TEXTS: Final = ("auth", "scope", "ac_type")
_TIMES: Final = ("created_at", "used_at", "expires_at", "ends_at", "tokens_until")
_MAX_LIFETIME_SECONDS: Final = 10**10  # some 300 years; a server counts milliseconds in 63 bits


class RedisSessions:
    """
    A store on a Redis (6 or later) or Valkey server.

    It is as durable as the server is made to be: with ``appendonly yes`` the last second can be
    lost in a crash, with ``appendfsync always`` nothing.  Its ``maxmemory-policy`` must be
    ``noeviction``.  A server that came back without all that it had is noticed: readers of
    revocations read all again.

    Args:
        url: ``redis://user:password@host:6379/0``, ``rediss://`` for TLS, or
            ``unix:///path/to/socket?db=0``.
        prefix: What all its keys begin with, in braces.

    Raises:
        ConfigurationError: A part is unusable.
    """

    single_process: Final = False

    def __init__(self, url: str, *, prefix: str = "jwt_middleware") -> None:
        if not re.fullmatch(r"[^{}\s]+", prefix):
            raise ConfigurationError("prefix must be a name without braces and spaces")
        self._server = RedisServer(url)
        # The braces make the slot of a cluster depend on nothing else of a key.
        self._at = f"{{{prefix}}}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._server)!r})"

    def create_schema(self) -> None:
        """Do nothing: there is none."""

    def close(self) -> None:
        """Close this process's idle connections.  The next use connects again."""
        self._server.close()

    def add(self, session: Session) -> None:
        """Record a new session."""
        self._run(
            scripts.ADD,
            session.sid,
            session.subject,
            _text(session.expires_at),
            _lifetime_ms(session.expires_at - session.used_at),
            _text(session.used_at - MAX_LEEWAY_SECONDS),
            *_fields(session),
            read=_nothing,
        )

    def find(self, sid: str) -> Session | None:
        """Return the session."""
        (found,) = self._server.ask(partial(self._sessions, [sid]))
        return found

    def list(self, *, subject: str | None = None) -> Iterator[Session]:
        """Yield all sessions, or those of one subject."""
        sids = self._all_sids() if subject is None else self._sids_of(subject)
        # A page of names may repeat some of one before.
        names = iter(dict.fromkeys(sids))
        while page := [*islice(names, _PAGE_SIZE)]:
            found = self._server.ask(partial(self._sessions, page))
            yield from (one for one in found if one is not None)

    def rotate(self, rotation: Rotation) -> tuple[Outcome, bytes]:
        """Use a refresh token."""
        return self._run(
            scripts.ROTATE,
            rotation.sid,
            rotation.presented,
            rotation.successor,
            rotation.salt,
            _text(rotation.now),
            _text(rotation.grace_seconds),
            _text(rotation.expires_at),
            _text(rotation.tokens_until),
            _lifetime_ms(rotation.expires_at - rotation.now),
            int(rotation.now),
            read=_rotated,
        )

    def end(self, sid: str, *, now: float) -> bool:
        """Remove the session, and revoke it."""
        return self._run(scripts.END, sid, int(now), read=int) == 1

    def end_all(self, subject: str, *, now: float, expires_at: float) -> int:
        """End every session of *subject*, and revoke whatever it holds."""
        named_from = _text(now - NAMED_SECONDS)
        return self._run(
            scripts.END_ALL, subject, int(now), math.ceil(expires_at), named_from, read=int
        )

    def revoke(self, revocation: Revocation) -> None:
        """Record a revocation."""
        kind, key, revoked_at, expires_at = revocation
        self._run(scripts.REVOKE, f"{kind}:{key}", revoked_at, expires_at, read=_nothing)

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """Return revocations that were recorded after *since*."""
        store, number = since or ("", 0)
        identity = secrets.token_hex(8)
        return self._run(scripts.CHANGES, store, number, limit, identity, read=_changes)

    def prune(self, *, now: float, limit: int) -> int:
        """Remove some of what has expired; attempts expire by themselves."""
        forgotten_until = _text(now - MAX_LEEWAY_SECONDS)
        return self._run(scripts.PRUNE, _text(now), forgotten_until, limit, read=int)

    def record_attempt(
        self, quotas: Mapping[str, int], *, window_seconds: float, now: float
    ) -> float:
        """Record a login attempt under each key, if every key has room."""
        window_ms = math.ceil(window_seconds * 1_000)
        named = [part for key, quota in quotas.items() for part in (key, quota)]
        return self._run(
            scripts.ATTEMPT, _text(now), _text(window_seconds), window_ms, *named, read=float
        )

    def forgive(self, *, forgotten: str, taken_back: str | None, at: float) -> None:
        """Forget attempts."""
        one = () if taken_back is None else (taken_back, _text(at))
        self._run(scripts.FORGIVE, forgotten, *one, read=_nothing)

    def _run(self, script: scripts.Script, *args: str | bytes | int, read: Callable[[Any], T]) -> T:
        return self._server.run(script, self._at, *args, read=read)

    def _sids_of(self, subject: str) -> Iterable[str]:
        key = f"{self._at}:subject:{subject}"
        return self._server.ask(lambda client: map(_str, client.zrange(key, 0, -1)))

    def _all_sids(self) -> Iterator[str]:
        # One that is there all the time is on some page, whatever else comes and goes.
        cursor: int | None = None
        while cursor != 0:
            cursor, sids = self._server.ask(partial(self._scan, cursor or 0))
            yield from sids

    def _scan(self, cursor: int, client: Redis) -> tuple[int, Sequence[str]]:
        further, found = client.zscan(f"{self._at}:sessions", cursor, count=_PAGE_SIZE)
        return int(further), [_str(sid) for sid, _ in found]

    def _sessions(self, sids: Sequence[str], client: Redis) -> Sequence[Session | None]:
        with client.pipeline(transaction=False) as pipeline:
            for sid in sids:
                pipeline.hgetall(f"{self._at}:session:{sid}")
            return [
                _session(sid, found) for sid, found in zip(sids, pipeline.execute(), strict=True)
            ]


def _text(seconds: float) -> str:
    return repr(float(seconds))  # all its digits; and one number has one text, to be found by


def _lifetime_ms(seconds: float) -> int:
    lifetime_seconds = min(seconds + MAX_LEEWAY_SECONDS, _MAX_LIFETIME_SECONDS)
    return math.ceil(lifetime_seconds * 1_000)


def _str(octets: object) -> str:
    return cast(bytes, octets).decode("utf-8", "surrogatepass")


def _fields(session: Session) -> Iterator[str | bytes]:
    """Yield names and values; each short, as a hash of long ones takes three times the memory."""
    payload = session.payload.to_json()
    yield from ("subject", session.subject, "uid", json.dumps(payload.pop("uid")))
    for name in _TEXTS:
        yield from (name, payload.pop(name))
    if payload:  # few have more
        yield from ("further", json.dumps(payload))
    yield from ("credential", session.credential)
    for name in _TIMES:
        yield from (name, _text(getattr(session, name)))
    yield from ("token", session.token_hash or b"", "previous", b"", "salt", b"", "rotated_at", "0")


def _session(sid: str, found: Mapping[bytes, bytes]) -> Session | None:
    if not found:
        return None
    fields = {name.decode(): value for name, value in found.items()}
    payload: dict[str, Any] = {name: _str(fields[name]) for name in _TEXTS}
    payload |= json.loads(fields.get("further", b"{}"))
    return Session(
        sid=sid,
        payload=JWTPayload(uid=json.loads(fields["uid"]), **payload),
        credential=_str(fields["credential"]),
        token_hash=fields["token"] or None,
        **{name: float(fields[name]) for name in _TIMES},
    )


def _rotated(answer: Sequence[bytes]) -> tuple[Outcome, bytes]:
    outcome, salt = answer
    return Outcome(outcome.decode()), salt


def _changes(answer: tuple[bytes, bytes, bytes, int]) -> Changes:
    identity, number, entries, complete = answer
    revocations = [_revocation(entry) for entry in json.loads(_str(entries))]
    return Changes(revocations, Cursor(identity.decode(), int(number)), complete == 1)


def _revocation(entry: str) -> Revocation:
    revoked_at, expires_at, kind, key = entry.split(":", 3)
    return Revocation(_KINDS[kind], key, int(revoked_at), int(expires_at))


def _nothing(_: object) -> None:
    """Make nothing of an answer."""
