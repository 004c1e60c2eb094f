#!lua flags=allow-oom
-- leave: the store no longer knows a queue that is nobody's, unless it was used since. One key alone, as in `enter`.
--
-- @key used  zset
-- @arg name
-- @arg until_ms  it leaves only when it was last used then or before; "": in any case
-- @number until_ms?
-- @returns LEFT | USED | UNKNOWN
-- @reply word

local score = redis.call("ZSCORE", key.used, name)
if not score then return {"UNKNOWN"} end
if until_ms ~= "" and tonumber(score) > tonumber(until_ms) then return {"USED"} end
redis.call("ZREM", key.used, name)
return {"LEFT"}
