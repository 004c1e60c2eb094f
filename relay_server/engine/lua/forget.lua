#!lua flags=allow-oom
-- forget: an empty queue loses its settings, counters and history.
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
-- @returns FORGOTTEN | NOT_EMPTY
-- @reply word
-- @use indexes

if holds_jobs(key) then return {"NOT_EMPTY"} end
redis.call("DEL", key.body, key.state, key.error, key.unreadable, key.conf, key.count, key.claims, key.history)
return {"FORGOTTEN"}
