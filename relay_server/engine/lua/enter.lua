#!lua
-- enter: the store knows the named queues from now on, all or none, and that they are in use. Who makes one is its owner.
--
-- @key used  zset
-- @key owner hash
-- @key owned hash
-- @arg now
-- @arg who         the principal that asks; "": nobody, and no quota is asked about
-- @arg queues_max  queues the store may hold; 0: any number
-- @arg owned_max   queues that one principal may have made; 0: any number
-- @each name
-- @number now? queues_max owned_max
-- @returns OK | FULL | QUOTA, then the names that were new
-- @use now

local t = now_ms(now)
local names, scores, new, seen = {}, {}, {}, {}
for name in each() do
  table.insert(names, name)
  table.insert(scores, t)
  table.insert(scores, name)
end
for i, score in ipairs(redis.call("ZMSCORE", key.used, unpack(names))) do
  if not score and not seen[names[i]] then
    seen[names[i]] = true
    table.insert(new, names[i])
  end
end
if #new > 0 then
  local most = tonumber(queues_max)
  if most > 0 and redis.call("ZCARD", key.used) + #new > most then return {"FULL"} end
  if who ~= "" then
    local made = tonumber(redis.call("HGET", key.owned, who)) or 0
    if tonumber(owned_max) > 0 and made + #new > tonumber(owned_max) then return {"QUOTA"} end
    redis.call("HINCRBY", key.owned, who, #new)
    for _, name in ipairs(new) do redis.call("HSET", key.owner, name, who) end
  end
end
redis.call("ZADD", key.used, "GT", unpack(scores))
return {"OK", unpack(new)}
