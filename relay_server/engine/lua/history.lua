#!lua flags=allow-oom
-- history: writes the totals of the queue at a minute, once, and removes rows that are too old.
--
-- The newest of the old rows stays. A minute in which nobody used the queue has no row, so the next row is compared
-- with it.
--
-- @key ready    zset
-- @key inflight zset
-- @key count    hash
-- @key history  hash
-- @arg minute        minutes since 1970
-- @arg keep          how many minutes to keep
-- @number minute keep
-- @many
-- @returns WRITTEN | PRESENT
-- @reply word

local v = redis.call("HMGET", key.count, "enqueued", "acked", "retried", "expired", "dead")
for i = 1, 5 do v[i] = v[i] or "0" end
table.insert(v, tostring(redis.call("ZCARD", key.ready)))
table.insert(v, tostring(redis.call("ZCARD", key.inflight)))
if redis.call("HSETNX", key.history, minute, table.concat(v, " ")) == 0 then return {"PRESENT"} end
if redis.call("HLEN", key.history) > tonumber(keep) then
  local old, newest = {}, nil
  for _, field in ipairs(redis.call("HKEYS", key.history)) do
    local at = tonumber(field) or 0
    if at <= tonumber(minute) - tonumber(keep) then
      if not newest or at > (tonumber(newest) or 0) then field, newest = newest, field end
      if field then table.insert(old, field) end
    end
  end
  if #old > 0 then redis.call("HDEL", key.history, unpack(old)) end
end
return {"WRITTEN"}
