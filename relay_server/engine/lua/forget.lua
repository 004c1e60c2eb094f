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
-- @key conf     hash
-- @key count    hash
-- @key claims   hash
-- @key history  hash
-- @returns FORGOTTEN | NOT_EMPTY

for _, index in ipairs({"ready", "delayed", "inflight", "dead"}) do
  if redis.call("ZCARD", key[index]) > 0 then return {"NOT_EMPTY"} end
end
redis.call("DEL", key.body, key.state, key.error, key.conf, key.count, key.claims, key.history)
return {"FORGOTTEN"}
