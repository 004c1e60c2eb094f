#!lua flags=no-writes,allow-oom
-- where: in which states these jobs are. Read-only.
--
-- @key ready    zset
-- @key delayed  zset
-- @key inflight zset
-- @key dead     zset
-- @key unreadable hash
-- @each id
-- @returns for each job: the number of its state, 5 when it is set aside, 0 when it is gone

local ids, reply = {}, {}
for id in each() do
  table.insert(ids, id)
  table.insert(reply, "0")
end
for number, index in ipairs({"ready", "delayed", "inflight", "dead"}) do
  local scores = redis.call("ZCARD", key[index]) > 0 and redis.call("ZMSCORE", key[index], unpack(ids)) or {}
  for i, score in ipairs(scores) do
    if score then reply[i] = tostring(number) end
  end
end
if redis.call("HLEN", key.unreadable) > 0 then
  for i, told in ipairs(redis.call("HMGET", key.unreadable, unpack(ids))) do
    if told then reply[i] = "5" end
  end
end
return reply
