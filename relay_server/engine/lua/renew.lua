#!lua flags=allow-oom
-- renew: notes that queues are in use now. A queue that is not known stays unknown; only `enter` makes it known.
--
-- @key used zset
-- @arg now
-- @each name
-- @number now?
-- @returns the names that are not known
-- @row name
-- @use now

local t = now_ms(now)
local names, known, unknown = {}, {}, {}
for name in each() do table.insert(names, name) end
for i, score in ipairs(redis.call("ZMSCORE", key.used, unpack(names))) do
  if score then
    table.insert(known, t)
    table.insert(known, names[i])
  else
    table.insert(unknown, names[i])
  end
end
if #known > 0 then redis.call("ZADD", key.used, "XX", "GT", unpack(known)) end
return unknown
