"""
What the Redis server does in one step each: Lua, run atomically.

A script gets one key, the prefix in braces: all keys begin with it, and so share one slot of a
cluster.  Times that a script compares or computes are the caller's, in decimal; only lifetimes are
left to the server's clock.  A session is named ``sid``, an account's claim *sub* ``subject``.

=====================  ======  ==================================================================
``:session:<sid>``     hash    one session; expires with it, some leeway later
``:sessions``          zset    every *sid* by expiry
``:subject:<sub>``     zset    the *sids* of one subject by expiry; expires with the last of them
``:head``              hash    ``id`` of this content, ``number`` of the latest revocation
``:log``               zset    revocations, ``revoked_at:expires_at:kind:key``, by number
``:numbers``           hash    number of the revocation of each ``kind:key``
``:expiries``          zset    numbers by the revocation's expiry
``:attempts:<key>``    list    times of login attempts, at most the quota; expires with the window
=====================  ======  ==================================================================

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

_COMMON: Final = """
local at = KEYS[1]
local SESSIONS, HEAD, LOG = at .. ':sessions', at .. ':head', at .. ':log'
local NUMBERS, EXPIRIES = at .. ':numbers', at .. ':expiries'

local function session_key(sid) return at .. ':session:' .. sid end
local function subject_key(subject) return at .. ':subject:' .. subject end

-- Times stay the strings that they came as, to lose nothing.
local function later(one, other)
    if tonumber(one) >= tonumber(other) then return one end
    return other
end

local function parse(entry) return string.match(entry, '^(%-?%d+):(%-?%d+):(.*)$') end

local function entry_of(number)
    return redis.call('ZRANGEBYSCORE', LOG, number, number)[1]
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
    redis.call('ZADD', LOG, number, revoked_at .. ':' .. expires_at .. ':' .. name)
    redis.call('HSET', NUMBERS, name, number)
    redis.call('ZADD', EXPIRIES, expires_at, number)
end

local function remove_session(sid, subject)
    redis.call('DEL', session_key(sid))
    redis.call('ZREM', SESSIONS, sid)
    if subject then redis.call('ZREM', subject_key(subject), sid) end
end

local function end_session(sid, revoked_at)
    local subject, tokens_until =
        unpack(redis.call('HMGET', session_key(sid), 'subject', 'tokens_until'))
    if not subject then return 0 end
    remove_session(sid, subject)
    revoke('session:' .. sid, revoked_at, string.format('%.0f', math.ceil(tokens_until)))
    return 1
end

-- The session's hash is there: let it and its indexes last as long as it does.
local function keep(sid, subject, expires_at, lifetime_ms)
    local of_subject = subject_key(subject)
    redis.call('PEXPIRE', session_key(sid), lifetime_ms)
    redis.call('ZADD', SESSIONS, expires_at, sid)
    redis.call('ZADD', of_subject, expires_at, sid)
    if redis.call('PTTL', of_subject) < tonumber(lifetime_ms) then
        redis.call('PEXPIRE', of_subject, lifetime_ms)
    end
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
        self.text = _COMMON + text
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


ADD: Final = Script("""
local sid, subject, expires_at, lifetime_ms, forgotten_until = unpack(ARGV, 1, 5)
redis.call('HSET', session_key(sid), unpack(ARGV, 6))
redis.call('ZREMRANGEBYSCORE', subject_key(subject), '-inf', forgotten_until)
keep(sid, subject, expires_at, lifetime_ms)
""")

ROTATE: Final = Script("""
local sid, presented, successor, salt, now, grace, expires_at, tokens_until, lifetime_ms, whole_now
    = unpack(ARGV)
local key = session_key(sid)
local token, previous, last_salt, rotated_at, until_now, tokens_until_now, subject = unpack(
    redis.call('HMGET', key, 'token', 'previous', 'salt', 'rotated_at', 'expires_at',
        'tokens_until', 'subject'))
if not subject or tonumber(now) >= tonumber(until_now) then return {'gone', ''} end
tokens_until = later(tokens_until, tokens_until_now)
if presented ~= '' and presented == token then
    redis.call('HSET', key, 'token', successor, 'previous', presented, 'salt', salt,
        'rotated_at', now, 'used_at', now, 'expires_at', expires_at, 'tokens_until', tokens_until)
    keep(sid, subject, expires_at, lifetime_ms)
    return {'rotated', salt}
end
if presented ~= '' and presented == previous
    and tonumber(grace) > 0 and tonumber(now) < rotated_at + grace then
    redis.call('HSET', key, 'used_at', now, 'tokens_until', tokens_until)
    return {'repeated', last_salt}
end
end_session(sid, whole_now)
return {'replayed', ''}
""")

END: Final = Script("return end_session(ARGV[1], ARGV[2])")

END_ALL: Final = Script("""
local subject, revoked_at, expires_at, named_from = unpack(ARGV)
local ended = 0
for _, sid in ipairs(redis.call('ZRANGE', subject_key(subject), 0, -1)) do
    local used_at = redis.call('HGET', session_key(sid), 'used_at')
    if used_at and tonumber(used_at) <= tonumber(named_from) then
        remove_session(sid)
        ended = ended + 1
    elseif used_at then
        ended = ended + end_session(sid, revoked_at)
    end
end
redis.call('DEL', subject_key(subject))
revoke('subject:' .. subject, revoked_at, expires_at)
return ended
""")

REVOKE: Final = Script("revoke(ARGV[1], ARGV[2], ARGV[3])")

CHANGES: Final = Script("""
local since_id, since_number, limit, new_id = unpack(ARGV)
-- The replication ID is another one after each restart of a primary and each promotion of a
-- replica.  Both may bring back a state in which a number that was handed out is still to come, and
-- stands for something else then.  A replica may be behind: it cannot say what is all.
local replication = redis.call('INFO', 'replication')
if not string.find(replication, 'role:master', 1, true) then
    return redis.error_reply('READONLY a replica does not know what is new')
end
local id = redis.call('HGET', HEAD, 'id')
if not id then
    id = new_id
    redis.call('HSET', HEAD, 'id', id)
end
id = id .. ':' .. string.match(replication, 'master_replid:(%w+)')
local number = redis.call('HGET', HEAD, 'number') or '0'
local from = '-inf'
if since_id == id and tonumber(since_number) <= tonumber(number) then from = '(' .. since_number end
local found = redis.call('ZRANGEBYSCORE', LOG, from, '+inf', 'LIMIT', 0, limit)
if #found == 0 then return {id, number, '[]', 1} end
local complete = 1
if #found == tonumber(limit) then
    complete, number = 0, redis.call('ZSCORE', LOG, found[#found])
end
-- One string: clients read ten thousand of them one by one in ten times the time.
return {id, number, cjson.encode(found), complete}
""")

PRUNE: Final = Script("""
local now, forgotten_until, limit = unpack(ARGV)
local sids = redis.call('ZRANGEBYSCORE', SESSIONS, '-inf', forgotten_until, 'LIMIT', 0, limit)
for _, sid in ipairs(sids) do
    remove_session(sid, redis.call('HGET', session_key(sid), 'subject'))
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
return #sids + #numbers
""")

ATTEMPT: Final = Script("""
local now, window_seconds, window_ms = unpack(ARGV, 1, 3)
local wait = 0
for i = 4, #ARGV, 2 do
    local quota, times = tonumber(ARGV[i + 1]), {}
    for _, time in ipairs(redis.call('LRANGE', at .. ':attempts:' .. ARGV[i], 0, -1)) do
        if tonumber(time) > now - window_seconds then times[#times + 1] = tonumber(time) end
    end
    if #times >= quota then
        wait = math.max(wait, times[#times - quota + 1] + window_seconds - now)
    end
end
if wait > 0 then return string.format('%.17g', wait) end
for i = 4, #ARGV, 2 do
    local key = at .. ':attempts:' .. ARGV[i]
    redis.call('RPUSH', key, now)
    redis.call('LTRIM', key, -ARGV[i + 1], -1)
    redis.call('PEXPIRE', key, window_ms)
end
return '0'
""")

FORGIVE: Final = Script("""
redis.call('DEL', at .. ':attempts:' .. ARGV[1])
if ARGV[2] then redis.call('LREM', at .. ':attempts:' .. ARGV[2], 1, ARGV[3]) end
""")
