"""Sessions in Redis or Valkey, for many processes and hosts.  Needs the extra ``redis``."""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar, cast

from redis import Redis, ResponseError

from ....core.trust import MAX_LEEWAY_SECONDS
from ....errors import ConfigurationError, UnavailableError
from ....sql.versions import FIRST, UNREADABLE, SchemaVersion, unreadable
from ...attempts import CHECKED_WITHIN_SECONDS, Attempt, Reservation
from ...clock import MAX_SKEW_SECONDS, StoreClock
from ...session import Session, stored_payload
from ...store import (
    DEFAULT_MAX_PER_SUBJECT,
    ENDED_AT_ONCE,
    NAMED_SECONDS,
    Changes,
    Cursor,
    Kind,
    Outcome,
    Revocation,
    Rotation,
    Use,
    place,
    qualified,
)
from . import scripts
from .server import RedisServer

T = TypeVar("T")

_PAGE_SIZE: Final = 500
_TEXTS: Final = ("subject", "auth", "scope", "ac_type")
_TIMES: Final = ("created_at", "used_at", "expires_at", "ends_at", "tokens_until")
_MAX_LIFETIME_SECONDS: Final = 10**10  # some 300 years; a server counts milliseconds in 63 bits

VERSION: Final = SchemaVersion("sessions", 2, oldest=FIRST, package="0.1.0")


def _read_configuration(client: Redis) -> tuple[str | None, str | None, str | None]:
    """Return eviction, snapshots and log; ``None`` for what the server does not tell."""

    def setting(name: str) -> str | None:
        try:
            found: dict[str, str] = client.config_get(name)  # type: ignore[assignment]
        except ResponseError:  # of a hosted one
            return None
        return found.get(name)

    policy = setting("maxmemory-policy")
    if policy is None:
        with suppress(ResponseError):
            memory: dict[str, str] = client.info("memory")
            policy = memory.get("maxmemory_policy")
    return policy, setting("save"), setting("appendonly")


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
        ConfigurationError: An argument is invalid.
    """

    single_process: Final = False

    def __init__(self, url: str, *, prefix: str = "jwt_middleware") -> None:
        if not re.fullmatch(r"[^{}\s]+", prefix):
            raise ConfigurationError("prefix must be a name without braces and spaces")
        self._server = RedisServer(url)
        # The braces make the slot of a cluster depend on nothing else of a key.
        self._at = f"{{{prefix}}}"
        self.store_clock: StoreClock = StoreClock(self._ask_time, store=str(self._server))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._server)!r})"

    def create_schema(self) -> None:
        """Do nothing: there is none."""

    def close(self) -> None:
        """Close this process's idle connections.  The next use connects again."""
        self._server.close()

    def losses(self) -> Iterator[str]:
        """
        Yield what of the server's configuration would lose sessions or revocations.

        Raises:
            UnavailableError: The store is unavailable.
        """
        policy, saves, appends = self._server.ask(_read_configuration)
        if policy not in {None, "noeviction"}:
            yield (
                f"maxmemory-policy is {policy}: the server may drop sessions, and revocations, so"
                " that revoked tokens are accepted again: set noeviction"
            )
        if saves == "" and appends == "no":
            yield "nothing is persisted: a restart ends all sessions: set appendonly yes"

    def doubts(self) -> Iterator[str]:
        """
        Yield :meth:`losses`, and whether the server's clock is off.

        Raises:
            UnavailableError: The store is unavailable.
        """
        yield from self.losses()
        off = -self.seconds_ahead()
        if abs(off) > MAX_SKEW_SECONDS:
            yield f"the server's clock is {off:+.0f} s from this host's: set both by NTP"

    def seconds_ahead(self) -> float:
        """Return how far this host's clock is ahead of the server's; asks it."""
        return self.store_clock.seconds_ahead()

    def schema_version(self) -> int:
        """Return the version of what is stored."""
        return self._ask_version()[1].version

    def add(self, session: Session, *, max_per_subject: int = DEFAULT_MAX_PER_SUBJECT) -> None:
        """Record a new session."""
        self._run(
            scripts.ADD,
            session.sid,
            qualified(session.issuer, session.subject),
            _text(session.created_at),
            _text(session.expires_at),
            _lifetime_ms(session.expires_at - session.used_at),
            max_per_subject,
            ENDED_AT_ONCE,
            *_fields(session),
            read=_nothing,
        )

    def find(self, sid: str) -> Session | None:
        """Return the session."""
        (found,) = self._find([sid])
        return found

    def list(self, *, issuer: str | None = None, subject: str | None = None) -> Iterator[Session]:
        """Yield all sessions, or those of one issuer or subject."""
        one_subject = issuer is not None and subject is not None
        sids = self._sids_of(issuer or "", subject or "") if one_subject else self._all_sids()
        # A page of names may repeat some of one before.
        names = iter(dict.fromkeys(sids))
        while page := [*islice(names, _PAGE_SIZE)]:
            for session in self._find(page):
                if session is None or not session.is_of(issuer):
                    continue
                if subject in {None, session.subject}:
                    yield session

    def rotate(self, rotation: Rotation) -> Use:
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
            rotation.issuer,
            rotation.address,
            read=_use,
        )

    def end(self, sid: str, *, issuer: str, now: float) -> bool:
        """Remove the session, and revoke it."""
        return self._run(scripts.END, sid, issuer, int(now), read=int) == 1

    def end_all(self, issuer: str, subject: str, *, now: float, expires_at: float) -> None:
        """End every session of *subject*, and revoke what it holds."""
        key = qualified(issuer, subject)
        self._run(scripts.END_ALL, key, int(now), math.ceil(expires_at), read=_nothing)

    def clear_ended(self, issuer: str, subject: str, *, limit: int) -> int:
        """Remove sessions that have been ended with all of their subject."""
        return self._run(scripts.CLEAR, qualified(issuer, subject), limit, NAMED_SECONDS, read=int)

    def revoke(self, revocation: Revocation) -> None:
        """Record a revocation."""
        kind, key, revoked_at, expires_at = revocation
        self._run(scripts.REVOKE, f"{kind}:{key}", revoked_at, expires_at, read=_nothing)

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """Return revocations that were recorded after *since*."""
        page = self._page(since, limit=limit)
        number, lost = place(since, page.head, page.tag_then)
        if since is not None and number != since.number:  # from the first on
            page = self._page(None, limit=limit)
        return Changes(page.revocations, page.cursor, page.is_last, lost)

    def prune(self, *, now: float, limit: int) -> int:
        """Remove some of what has expired or been ended; attempts expire by themselves."""
        return self._run(
            scripts.PRUNE, _text(now), MAX_LEEWAY_SECONDS, limit, NAMED_SECONDS, read=int
        )

    def reserve(self, attempt: Attempt, *, now: float) -> Reservation:
        """Count a login attempt, if all its buckets have space."""
        buckets: list[str | int] = []
        for is_known in (True, False):
            for key, drip in attempt.buckets(is_known=is_known).items():
                buckets += [int(is_known), key, drip.burst, _text(drip.interval_seconds)]
        wait, *keys = self._run(
            scripts.RESERVE,
            attempt.account,
            attempt.leaf or "",
            int(attempt.is_trusted),
            _text(now),
            attempt.cost,
            _text(attempt.known_seconds),
            _text(CHECKED_WITHIN_SECONDS),
            *buckets,
            read=_strs,
        )
        return Reservation(float(wait), keys, now)

    def settle(
        self, attempt: Attempt, reservation: Reservation, *, succeeded: bool, now: float
    ) -> None:
        """Say how a counted attempt ended."""
        drips = attempt.drips
        buckets: list[str | int] = []
        for key in reservation.keys:
            buckets += [key, drips[key].burst, _text(drips[key].interval_seconds)]
        self._run(
            scripts.SETTLE,
            attempt.account,
            attempt.leaf or "",
            int(succeeded),
            _text(now),
            _text(reservation.at),
            attempt.cost,
            _text(attempt.known_seconds),
            attempt.max_known,
            *buckets,
            read=_nothing,
        )

    def clear_attempts(self, account: str) -> None:
        """Empty all buckets of an account, page by page."""
        pattern = f"{_escaped(self._at)}:bucket:{account}:*"
        cursor: int | None = None
        while cursor != 0:
            cursor = self._server.ask(partial(_delete_page, cursor or 0, pattern))

    def _ask_time(self) -> float:
        seconds, stored = self._ask_version()
        try:
            VERSION.check(stored)
        except UnavailableError as error:
            raise UnavailableError(f"{self._server}: {error}") from None
        return seconds

    def _ask_version(self) -> tuple[float, SchemaVersion]:
        return self._run(scripts.CLOCK, *VERSION[1:], read=_time_and_version)

    def _page(self, since: Cursor | None, *, limit: int) -> _Page:
        number, head = (0, 0) if since is None else (since.number, since.head)
        return self._run(scripts.CHANGES, number, head, limit, read=_page)

    def _run(self, script: scripts.Script, *args: str | bytes | int, read: Callable[[Any], T]) -> T:
        return self._server.run(script, self._at, *args, secrets.token_hex(8), read=read)

    def _find(self, sids: Sequence[str]) -> Sequence[Session | None]:
        found = self._run(scripts.FIND, *sids, read=_pairs)
        try:
            return [_session(sid, fields) for sid, fields in zip(sids, found, strict=True)]
        except UNREADABLE:
            raise unreadable("a session") from None

    def _sids_of(self, issuer: str, subject: str) -> Iterable[str]:
        keys = (f"{self._at}:of:{qualified(issuer, subject)}", f"{self._at}:subject:{subject}")
        return self._server.ask(
            lambda client: [_str(sid) for key in keys for sid in client.zrange(key, 0, -1)]
        )

    def _all_sids(self) -> Iterator[str]:
        # One that is there all the time is on some page, whatever else comes and goes.
        cursor: int | None = None
        while cursor != 0:
            cursor, sids = self._server.ask(partial(self._scan, cursor or 0))
            yield from sids

    def _scan(self, cursor: int, client: Redis) -> tuple[int, Sequence[str]]:
        further, found = client.zscan(f"{self._at}:sessions", cursor, count=_PAGE_SIZE)
        return int(further), [_str(sid) for sid, _ in found]


def _delete_page(cursor: int, pattern: str, client: Redis) -> int:
    further, keys = client.scan(cursor, match=pattern, count=1_000)
    if keys:
        client.delete(*keys)
    return int(further)


def _escaped(text: str) -> str:
    return re.sub(r"([\\*?\[\]])", r"\\\1", text)


def _text(seconds: float) -> str:
    return repr(float(seconds))  # all its digits; and one number has one text, to be found by


def _lifetime_ms(seconds: float) -> int:
    lifetime_seconds = min(seconds + MAX_LEEWAY_SECONDS, _MAX_LIFETIME_SECONDS)
    return math.ceil(lifetime_seconds * 1_000)


def _str(octets: object) -> str:
    return cast(bytes, octets).decode("utf-8", "surrogatepass")


def _fields(session: Session) -> Iterator[str | bytes]:
    """Yield names and values; each short, as a hash of long ones takes three times the memory."""
    payload = session.payload.to_json() | {"subject": session.subject}
    yield from ("subject", payload.pop("subject"), "issuer", session.issuer)
    yield from ("uid", json.dumps(payload.pop("uid")))
    for name in _TEXTS[1:]:
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
    uid = json.loads(fields["uid"])
    payload: dict[str, Any] = {name: _str(fields[name]) for name in _TEXTS}
    payload |= json.loads(fields.get("further", b"{}"))
    if payload["subject"] == str(uid):
        del payload["subject"]
    return Session(
        sid=sid,
        issuer=_str(fields.get("issuer", b"")),
        payload=stored_payload(payload | {"uid": uid}),
        credential=_str(fields["credential"]),
        token_hash=fields["token"] or None,
        **{name: float(fields[name]) for name in _TIMES},
    )


def _use(answer: Sequence[bytes]) -> Use:
    outcome, salt, address = answer
    return Use(Outcome(outcome.decode()), salt, _str(address))


def _time_and_version(answer: Sequence[bytes]) -> tuple[float, SchemaVersion]:
    seconds, microseconds, version, oldest, package = answer
    stored = SchemaVersion(VERSION.part, int(version), int(oldest), _str(package))
    return int(seconds) + int(microseconds) / 1e6, stored


def _strs(answer: Sequence[bytes]) -> Sequence[str]:
    return [_str(one) for one in answer]


def _pairs(answer: Sequence[Sequence[bytes]]) -> Sequence[Mapping[bytes, bytes]]:
    return [dict(zip(one[::2], one[1::2], strict=True)) for one in answer]


class _Page(NamedTuple):
    revocations: Sequence[Revocation]
    head: Cursor
    tag_then: str
    last: int | None

    @property
    def is_last(self) -> bool:
        return self.last is None

    @property
    def cursor(self) -> Cursor:
        return self.head if self.last is None else self.head._replace(number=self.last)


def _page(answer: tuple[bytes, int, bytes, bytes, bytes, bytes | None]) -> _Page:
    identity, number, tag, tag_then, entries, last = answer
    return _Page(
        [_revocation(entry) for entry in json.loads(_str(entries))],
        Cursor(identity.decode(), number, number, tag.decode()),
        tag_then.decode(),
        None if last is None else int(last),
    )


def _revocation(entry: str) -> Revocation:
    revoked_at, expires_at, kind, key = entry.split(":", 3)
    return Revocation(cast(Kind, kind), key, int(revoked_at), int(expires_at))


def _nothing(_: object) -> None:
    """Make nothing of an answer."""
