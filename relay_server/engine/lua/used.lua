#!lua flags=no-writes,allow-oom
-- used: the queues by their last use, the longest unused first, between two ages. Read-only.
--
-- @key used zset
-- @arg now
-- @arg oldest_ms  last used so long ago at most; "": any time
-- @arg newest_ms  last used so long ago at least
-- @arg skip
-- @arg limit      how many at most; -1: any number
-- @number now? oldest_ms? newest_ms skip limit
-- @returns now, how many queues there are in all, then names
-- @reply now total
-- @row name
-- @use now

local t = now_ms(now)
local from = oldest_ms == "" and "-inf" or ms_text(t - tonumber(oldest_ms))
local upto = tonumber(newest_ms) <= 0 and "+inf" or ms_text(t - tonumber(newest_ms))
local reply = {ms_text(t), tostring(redis.call("ZCARD", key.used))}
local names = redis.call("ZRANGE", key.used, from, upto, "BYSCORE", "LIMIT", skip, limit)
for _, name in ipairs(names) do table.insert(reply, name) end
return reply
