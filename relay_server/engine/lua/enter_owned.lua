#!lua
-- enter_owned: as `enter`; new queues are of the principal that asks, within its quota.
--
-- @key used  zset
-- @key owner hash
-- @key owned hash
-- @arg now
-- @arg who
-- @arg queues_max  queues the store may hold; 0: any number
-- @arg owned_max   queues that one principal may have made; 0: any number
-- @each name
-- @number now? queues_max owned_max
-- @returns OK | FULL | QUOTA, then the names that were new
-- @reply word
-- @row name
-- @use now newcomers

local names = {}
for name in each() do table.insert(names, name) end
local new, scores = newcomers(key.used, now_ms(now), names)
if #new > 0 then
  local most, own = tonumber(queues_max), tonumber(owned_max)
  if most > 0 and redis.call("ZCARD", key.used) + #new > most then return {"FULL"} end
  local made = tonumber(redis.call("HGET", key.owned, who)) or 0
  if own > 0 and made + #new > own then return {"QUOTA"} end
  redis.call("HINCRBY", key.owned, who, #new)
  for _, name in ipairs(new) do redis.call("HSET", key.owner, name, who) end
end
redis.call("ZADD", key.used, "GT", unpack(scores))
return {"OK", unpack(new)}
