"""
What the Redis server does in one step each: Lua, run atomically.

A script gets one key, the prefix in braces: all keys begin with it, and so share one slot of a
cluster.  Its last argument is a new tag, for the numbers of revocations that it gives.  Times that
a script compares or computes are the caller's, who has them from CLOCK, in decimal; only lifetimes
are left to the server itself.  A session is named ``sid``.  A subject is an *iss* and a *sub* with
a line break between them, and so is what is revoked.

=========================  ======  ==============================================================
``:session:<sid>``         hash    one session; expires with it, some leeway later
``:sessions``              zset    every *sid* by expiry
``:of:<subject>``          zset    the *sids* of one subject by creation; expires with the last
``:to_clear``              set     subjects whose sessions have been ended and are still there
``:head``                  hash    ``id`` of this content, ``number`` of the latest revocation,
                                   ``schema``, ``oldest``, ``package``: as :class:`SchemaVersion`
``:log``                   zset    revocations, ``revoked_at:expires_at:kind:key``, by number
``:numbers``               hash    number of the revocation of each ``kind:key``
``:expiries``              zset    numbers by the revocation's expiry
``:tags``                  string  the tag of each number that was given lately, by its last bits
``:bucket:<key>``          string  ``empty_at checked checked_until`` of login attempts
``:leaves:<account>``      zset    leaves that an account is known at, by its latest login
=========================  ======  ==============================================================

Version 0.1 keeps the *sids* of a *sub* by expiry in ``:subject:<sub>``, and names no issuer in a
session.  Such a session is moved when it is refreshed.

A session remembers in ``born`` the number of the latest revocation when it was added: a later one
of its subject has ended it, whatever any clock says.

Why a sorted set and neither a stream nor pub/sub: a message of pub/sub that finds its subscriber
away is lost, and nothing says so.  A stream keeps a whole node of a hundred entries while one of
them lives, and revocations of a subject live a thousand times as long as those of a token.  Here
the number is drawn in the very step that makes its entry visible, so that no entry ever appears
behind a number that a reader has passed.

A server that runs out of memory refuses a script's first write that needs some, and none after it:
each script does all of its work or nothing.  Those that end a session remove it first, and so
work even then.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Final

from ...store import POSITIONS, UNTAGGED

# In :tags, of each number: its tag, and its last 32 bits, as the place may be of an earlier one.
_TAG_CHARS: Final = 16
_PLACE_CHARS: Final = _TAG_CHARS + 8

_CONSTANTS: Final = f"""
local POSITIONS, TAG_CHARS, PLACE_CHARS = {POSITIONS}, {_TAG_CHARS}, {_PLACE_CHARS}
local UNTAGGED = '{UNTAGGED}'
"""
_COMMON: Final = """
local at, TAG = KEYS[1], table.remove(ARGV)
local SESSIONS, HEAD, LOG = at .. ':sessions', at .. ':head', at .. ':log'
local NUMBERS, EXPIRIES, TAGS = at .. ':numbers', at .. ':expiries', at .. ':tags'

local TO_CLEAR = at .. ':to_clear'
local AHEAD = 60  -- MAX_AHEAD_SECONDS of sessions/clock.py

local function session_key(sid) return at .. ':session:' .. sid end
local function old_key(sub) return at .. ':subject:' .. sub end
local function of_key(subject) return at .. ':of:' .. subject end
local function qualified(issuer, name) return issuer .. '\\n' .. name end

-- Times stay the strings that they came as, to lose nothing.
local function later(one, other)
    if tonumber(one) >= tonumber(other) then return one end
    return other
end

local function parse(entry) return string.match(entry, '^(%-?%d+):(%-?%d+):(.*)$') end

local function entry_of(number)
    return redis.call('ZRANGEBYSCORE', LOG, number, number)[1]
end

local function last_bits(number) return string.format('%08x', number % 4294967296) end

local function tag(number)
    redis.call('SETRANGE', TAGS, number % POSITIONS * PLACE_CHARS, TAG .. last_bits(number))
end

-- The tag of a number; nil if it was given without one, or one in its place was given since.
local function tag_of(number)
    local from = number % POSITIONS * PLACE_CHARS
    local found = redis.call('GETRANGE', TAGS, from, from + PLACE_CHARS - 1)
    if string.sub(found, TAG_CHARS + 1) == last_bits(number) then
        return string.sub(found, 1, TAG_CHARS)
    end
end

local function revoke(name, revoked_at, expires_at)
    local known = redis.call('HGET', NUMBERS, name)
    local entry = known and entry_of(known)
    if entry then
        local before, until_then = parse(entry)
        revoked_at, expires_at = later(revoked_at, before), later(expires_at, until_then)
        redis.call('ZREM', LOG, entry)
        redis.call('ZREM', EXPIRIES, known)
    end
    local number = redis.call('HINCRBY', HEAD, 'number', 1)
    tag(number)
    redis.call('ZADD', LOG, number, revoked_at .. ':' .. expires_at .. ':' .. name)
    redis.call('HSET', NUMBERS, name, number)
    redis.call('ZADD', EXPIRIES, expires_at, number)
end

local function remove_session(sid, issuer, sub)
    redis.call('DEL', session_key(sid))
    redis.call('ZREM', SESSIONS, sid)
    if sub then
        redis.call('ZREM', issuer and of_key(qualified(issuer, sub)) or old_key(sub), sid)
    end
end

-- The number of what has ended all sessions of the subject of this one, which was added before.
local function ended_by(issuer, sub, born, created_at)
    for _, key in ipairs({qualified(issuer, sub), sub}) do
        local number = redis.call('HGET', NUMBERS, 'subject:' .. key)
        local entry = number and entry_of(number)
        if entry then
            if born and tonumber(number) > tonumber(born) then return number end
            if not born and math.floor(created_at) <= tonumber((parse(entry))) then
                return number
            end
        end
    end
end

-- The session, unless it has been ended.
local function live_session(sid, issuer)
    local found = redis.call('HMGET', session_key(sid), 'subject', 'issuer', 'born',
        'created_at', 'tokens_until')
    local sub, own_issuer, born, created_at = unpack(found, 1, 4)
    if not sub then return nil end
    if own_issuer and issuer and issuer ~= own_issuer then return nil end
    if ended_by(own_issuer or issuer or '', sub, born, created_at) then return nil end
    return {sub = sub, issuer = own_issuer, tokens_until = found[5]}
end

local function end_session(sid, issuer, sub, tokens_until, revoked_at, named_issuer)
    remove_session(sid, issuer, sub)
    local key = qualified(issuer or named_issuer, sid)
    revoke('session:' .. key, revoked_at, string.format('%.0f', math.ceil(tokens_until)))
end

-- The session's hash is there: let it and its indexes last as long as it does.
local function keep(sid, subject, created_at, expires_at, lifetime_ms)
    local of_subject = of_key(subject)
    redis.call('PEXPIRE', session_key(sid), lifetime_ms)
    redis.call('ZADD', SESSIONS, expires_at, sid)
    redis.call('ZADD', of_subject, created_at, sid)
    if redis.call('PTTL', of_subject) < tonumber(lifetime_ms) then
        redis.call('PEXPIRE', of_subject, lifetime_ms)
    end
end

-- Remove a session if it was ended with all of its subject; return how many were, or nil if it goes
-- on.  One that has expired by itself only leaves its index.
local function clear_one(sid, key, issuer, sub, named_seconds)
    local found, own_issuer, born, created_at, used_at, tokens_until = unpack(redis.call('HMGET',
        session_key(sid), 'subject', 'issuer', 'born', 'created_at', 'used_at', 'tokens_until'))
    if not found then
        redis.call('ZREM', key, sid)
        return 0
    end
    local number = ended_by(issuer, sub, born, created_at)
    if not number then return nil end
    local revoked_at = parse(entry_of(number))
    if tonumber(used_at) > revoked_at - named_seconds then
        end_session(sid, own_issuer, sub, tokens_until, revoked_at, issuer)
    else
        remove_session(sid, own_issuer, sub)
    end
    return 1
end

-- Remove some of the sessions that were ended with all of their subject, the oldest first.
local function clear(subject, limit, named_seconds)
    local cleared = 0
    local issuer, sub = string.match(subject, '^(.-)\\n(.*)$')
    for _, key in ipairs({of_key(subject), old_key(sub)}) do
        local kept = 0
        repeat
            local sids = redis.call('ZRANGE', key, kept, kept + limit - cleared - 1)
            for _, sid in ipairs(sids) do
                local done = clear_one(sid, key, issuer, sub, named_seconds)
                if done then cleared = cleared + done else kept = kept + 1 end
            end
        until #sids == 0 or cleared >= limit
    end
    if cleared < limit then redis.call('SREM', TO_CLEAR, subject) end
    return cleared
end

-- How full a bucket is: when it will be empty, and what of it is still being checked until when.
local function level_of(key)
    local text = redis.call('GET', at .. ':bucket:' .. key)
    if not text then return 0, 0, 0 end
    local empty_at, checked, checked_until = string.match(text, '^(%S+) (%S+) (%S+)')
    return tonumber(empty_at), tonumber(checked), tonumber(checked_until)
end

local function set_level(key, empty_at, checked, checked_until, now)
    local left = math.max(empty_at, checked_until) - now
    if left <= 0 then return redis.call('DEL', at .. ':bucket:' .. key) end
    redis.call('SET', at .. ':bucket:' .. key,
        string.format('%.17g %d %.17g', empty_at, checked, checked_until),
        'PX', math.ceil(left * 1000))
end
"""


class Script:
    """
    A script, and the digest by which a server that has seen it knows it.

    Args:
        text: What it does, after what all share.

    Attributes:
        text: The whole of it.
        sha: SHA-1 in hexadecimal, as EVALSHA wants it.
    """

    def __init__(self, text: str) -> None:
        self.text: str = _CONSTANTS + _COMMON + text
        self.sha: str = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


ADD: Final = Script("""
local sid, subject, created_at, expires_at, lifetime_ms, most, at_once = unpack(ARGV, 1, 7)
redis.call('HSET', session_key(sid), 'born', redis.call('HGET', HEAD, 'number') or '0',
    unpack(ARGV, 8))
local excess = math.min(redis.call('ZCARD', of_key(subject)) + 1 - most, tonumber(at_once))
-- At least two, so that those that have expired by themselves are forgotten.
for place, old in ipairs(redis.call('ZRANGE', of_key(subject), 0, math.max(excess, 2) - 1)) do
    local sub, issuer, tokens_until = unpack(
        redis.call('HMGET', session_key(old), 'subject', 'issuer', 'tokens_until'))
    if not sub then
        redis.call('ZREM', of_key(subject), old)
    elseif place <= excess then
        end_session(old, issuer, sub, tokens_until, string.format('%.0f', math.floor(created_at)))
    end
end
keep(sid, subject, created_at, expires_at, lifetime_ms)
""")

FIND: Final = Script("""
local found = {}
for _, sid in ipairs(ARGV) do
    local session = live_session(sid)
    found[#found + 1] = session and redis.call('HGETALL', session_key(sid)) or {}
end
return found
""")

ROTATE: Final = Script("""
local sid, presented, successor, salt, now, grace, expires_at, tokens_until, lifetime_ms, whole_now,
    issuer, address = unpack(ARGV)
local key, session = session_key(sid), live_session(sid, issuer)
if not session then return {'gone', '', ''} end
local token, previous, last_salt, rotated_at, until_now, created_at, before = unpack(
    redis.call('HMGET', key, 'token', 'previous', 'salt', 'rotated_at', 'expires_at',
        'created_at', 'address'))
before = before or ''
if tonumber(now) >= tonumber(until_now) then return {'gone', '', ''} end
tokens_until = later(tokens_until, session.tokens_until)
if presented ~= '' and presented == token then
    redis.call('HSET', key, 'token', successor, 'previous', presented, 'salt', salt,
        'rotated_at', now, 'used_at', now, 'expires_at', expires_at, 'tokens_until', tokens_until,
        'address', address)
    if not session.issuer then
        redis.call('HSET', key, 'issuer', issuer, 'born',
            redis.call('HGET', HEAD, 'number') or '0')
        redis.call('ZREM', old_key(session.sub), sid)
    end
    keep(sid, qualified(issuer, session.sub), created_at, expires_at, lifetime_ms)
    return {'rotated', salt, before}
end
if presented ~= '' and presented == previous
    and tonumber(grace) > 0 and tonumber(now) < rotated_at + grace
    and tonumber(now) >= rotated_at - AHEAD then
    redis.call('HSET', key, 'used_at', now, 'tokens_until', tokens_until)
    return {'repeated', last_salt, before}
end
end_session(sid, session.issuer, session.sub, session.tokens_until, whole_now, issuer)
return {'replayed', '', before}
""")

END: Final = Script("""
local sid, issuer, revoked_at = unpack(ARGV)
local session = live_session(sid, issuer)
if not session then return 0 end
end_session(sid, session.issuer, session.sub, session.tokens_until, revoked_at, issuer)
return 1
""")

END_ALL: Final = Script("""
local subject, revoked_at, expires_at = unpack(ARGV)
redis.call('SREM', TO_CLEAR, subject)  -- the first write: a full server lets those after it pass
revoke('subject:' .. subject, revoked_at, expires_at)
redis.call('SADD', TO_CLEAR, subject)
""")

CLEAR: Final = Script("return clear(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))")

REVOKE: Final = Script("revoke(ARGV[1], ARGV[2], ARGV[3])")

CHANGES: Final = Script("""
local since_number, since_head, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
-- A replica may be behind: it cannot say what is all.
local replication = redis.call('INFO', 'replication')
if not string.find(replication, 'role:master', 1, true) then
    return redis.error_reply('READONLY a replica does not know what is new')
end
local id = redis.call('HGET', HEAD, 'id')
if not id then
    id = TAG
    redis.call('HSET', HEAD, 'id', id)
end
-- For numbers that an older version has given: another one after each restart of a primary and each
-- promotion of a replica, either of which may bring back an earlier state.
local untagged = UNTAGGED .. string.match(replication, 'master_replid:(%w+)')
local number = tonumber(redis.call('HGET', HEAD, 'number') or '0')
local tag = number > 0 and (tag_of(number) or untagged) or ''
local found = redis.call('ZRANGEBYSCORE', LOG, '(' .. ARGV[1], '+inf', 'LIMIT', 0, limit)
local last = #found == limit and redis.call('ZSCORE', LOG, found[#found]) or false
-- One string: clients read ten thousand of them one by one in ten times the time.
local entries = #found > 0 and cjson.encode(found) or '[]'
return {id, number, tag, tag_of(since_head) or untagged, entries, last}
""")

CLOCK: Final = Script("""
local version, oldest, package = unpack(ARGV)
local function read() return redis.call('HMGET', HEAD, 'schema', 'oldest', 'package') end
local stored = read()
if tonumber(stored[1] or '1') < tonumber(version) then
    -- Where nothing can be written at the moment, the next one does it.
    redis.pcall('HSET', HEAD, 'schema', version, 'oldest', oldest, 'package', package)
    stored = read()
end
local clock = redis.call('TIME')
return {clock[1], clock[2], stored[1] or '1', stored[2] or '1', stored[3] or ''}
""")

PRUNE: Final = Script("""
local now, leeway, limit, named_seconds = unpack(ARGV)
-- By the earlier of two clocks: a host whose own is fast must not remove what counts for others.
local clock = redis.call('TIME')
local earlier = math.min(tonumber(now), tonumber(clock[1]) + tonumber(clock[2]) / 1e6)
local forgotten_until = string.format('%.6f', earlier - tonumber(leeway))
now = string.format('%.6f', earlier)
local ended, subject = 0, redis.call('SRANDMEMBER', TO_CLEAR)
if subject then ended = clear(subject, tonumber(limit), tonumber(named_seconds)) end
local sids = redis.call('ZRANGEBYSCORE', SESSIONS, '-inf', forgotten_until, 'LIMIT', 0, limit)
for _, sid in ipairs(sids) do
    local issuer, sub = unpack(redis.call('HMGET', session_key(sid), 'issuer', 'subject'))
    remove_session(sid, issuer, sub)
end
local numbers = redis.call('ZRANGEBYSCORE', EXPIRIES, '-inf', now, 'LIMIT', 0, limit)
for _, number in ipairs(numbers) do
    local entry = entry_of(number)
    if entry then
        local _, _, name = parse(entry)
        redis.call('HDEL', NUMBERS, name)
        redis.call('ZREM', LOG, entry)
    end
    redis.call('ZREM', EXPIRIES, number)
end
return ended + #sids + #numbers
""")

# The same as sessions/attempts.py computes; ARGV has four numbers for each bucket.
RESERVE: Final = Script("""
local account, leaf, trusted, now, cost, known_seconds, checked_seconds = unpack(ARGV, 1, 7)
now, cost = tonumber(now), tonumber(cost)
local last = leaf ~= '' and redis.call('ZSCORE', at .. ':leaves:' .. account, leaf)
local known = trusted == '1' or (last and now < last + known_seconds)
local wait, levels = 0, {}
for i = 8, #ARGV, 4 do
    if (ARGV[i] == '1') == (known and true or false) then
        local key, burst, interval = ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
        local empty_at, checked, checked_until = level_of(key)
        local checking = checked > 0 and now < checked_until
            and checked_until <= now + checked_seconds + AHEAD
        empty_at = math.min(math.max(empty_at, now), now + burst * interval)
            + math.min(cost, burst) * interval
        local excess = empty_at - burst * interval - now
        if excess > 0.001 then
            wait = math.max(wait, checking and math.min(excess, 1) or excess)
        end
        levels[#levels + 1] = {key, empty_at, (checking and checked or 0) + 1}
    end
end
if wait > 0 then return {string.format('%.17g', wait)} end
local answer = {'0'}
for _, level in ipairs(levels) do
    set_level(level[1], level[2], level[3], now + checked_seconds, now)
    answer[#answer + 1] = level[1]
end
return answer
""")

SETTLE: Final = Script("""
local account, leaf, succeeded, now, reserved_at, cost, known_seconds, max_known
    = unpack(ARGV, 1, 8)
now, cost = tonumber(now), tonumber(cost)
for i = 9, #ARGV, 3 do
    local key, burst, interval = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    local empty_at, checked, checked_until = level_of(key)
    checked = math.max(checked - 1, 0)
    if checked == 0 then checked_until = 0 end
    if succeeded == '1' and now - reserved_at < interval then
        empty_at = empty_at - math.min(cost, burst) * interval
    end
    set_level(key, empty_at, checked, checked_until, now)
end
if succeeded == '1' and leaf ~= '' then
    local leaves = at .. ':leaves:' .. account
    redis.call('ZADD', leaves, now, leaf)
    redis.call('ZREMRANGEBYRANK', leaves, 0, -max_known - 1)
    redis.call('PEXPIRE', leaves, math.ceil(known_seconds * 1000))
end
""")

READING: Final = frozenset({FIND, CHANGES, END, CLOCK})
"""Those that may succeed on a server that takes no writes: an unknown session is not ended."""
