#!lua flags=allow-oom
-- forget_idle: an empty queue that no operator configured loses its counters, its history and its first settings.
--
-- @key ready    zset
-- @key delayed  zset
-- @key inflight zset
-- @key dead     zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key unreadable hash
-- @key conf     hash
-- @key count    hash
-- @key claims   hash
-- @key history  hash
-- @returns FORGOTTEN | NOT_EMPTY | KEPT
-- @reply word
-- @use indexes

if holds_jobs(key) then return {"NOT_EMPTY"} end
local mark = redis.call("HMGET", key.conf, "configured", "paused")
if mark[1] or mark[2] then return {"KEPT"} end
redis.call("DEL", key.body, key.state, key.error, key.unreadable, key.conf, key.count, key.claims, key.history)
return {"FORGOTTEN"}
