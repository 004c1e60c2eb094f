#!lua
-- enter: the store knows the named queues from now on, all or none, and that they are in use. New ones are nobody's.
-- One key alone, so that it goes on while a cluster moves the names: of several keys some would be here and some there.
--
-- @key used  zset
-- @arg now
-- @arg queues_max  queues the store may hold; 0: any number
-- @each name
-- @number now? queues_max
-- @returns OK | FULL, then the names that were new
-- @use now newcomers

local names = {}
for name in each() do table.insert(names, name) end
local new, scores = newcomers(key.used, now_ms(now), names)
local most = tonumber(queues_max)
if #new > 0 and most > 0 and redis.call("ZCARD", key.used) + #new > most then return {"FULL"} end
redis.call("ZADD", key.used, "GT", unpack(scores))
return {"OK", unpack(new)}
