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
-- @row state
-- @use batch indexes

local ids, reply = named_ids(), {}
for i in ipairs(ids) do reply[i] = "0" end
for number, index in ipairs(INDEXES) do
  for i, score in ipairs(scores_of(key[index], ids)) do
    if score then reply[i] = tostring(number) end
  end
end
if redis.call("HLEN", key.unreadable) > 0 then
  for i, entry in ipairs(redis.call("HMGET", key.unreadable, unpack(ids))) do
    if entry then reply[i] = "5" end
  end
end
return reply
