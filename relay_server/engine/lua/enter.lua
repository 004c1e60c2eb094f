#!lua
-- enter: the store knows the named queues from now on, all or none, and that they are in use. New ones are nobody's.
-- It uses one key only. While a cluster moves the slot, a script with several keys fails when they are on two nodes.
--
-- @key used  zset
-- @arg now
-- @arg queues_max  queues the store may hold; 0: any number
-- @each name
-- @number now? queues_max
-- @returns OK | FULL, then the names that were new
-- @reply word
-- @row name
-- @use now newcomers

local names = {}
for name in each() do table.insert(names, name) end
local new, scores = newcomers(key.used, now_ms(now), names)
local most = tonumber(queues_max)
if #new > 0 and most > 0 and redis.call("ZCARD", key.used) + #new > most then return {"FULL"} end
redis.call("ZADD", key.used, "GT", unpack(scores))
return {"OK", unpack(new)}
