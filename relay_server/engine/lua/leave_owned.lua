#!lua flags=allow-oom
-- leave_owned: as `leave`, for a queue that a principal made; it may make another one.
--
-- @key used  zset
-- @key owner hash
-- @key owned hash
-- @arg name
-- @arg until_ms  it leaves only when it was last used then or before; "": in any case
-- @number until_ms?
-- @returns LEFT | USED | UNKNOWN
-- @reply word

local score = redis.call("ZSCORE", key.used, name)
if not score then return {"UNKNOWN"} end
if until_ms ~= "" and tonumber(score) > tonumber(until_ms) then return {"USED"} end
redis.call("ZREM", key.used, name)
local who = redis.call("HGET", key.owner, name)
if who then
  redis.call("HDEL", key.owner, name)
  if redis.call("HINCRBY", key.owned, who, -1) <= 0 then redis.call("HDEL", key.owned, who) end
end
return {"LEFT"}
