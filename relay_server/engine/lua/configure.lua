#!lua flags=allow-oom
-- configure: changes settings of the queue. A changed rate starts with a full bucket and wakes those who wait.
-- The field `configured` says that an operator set something: such a queue is never forgotten by itself.
--
-- @key conf     hash
-- @key wake     channel
-- @each field value
-- @number value
-- @returns OK
-- @reply word
-- @use wake

local fields, rated = {"configured", "1"}, false
for field, value in each() do
  table.insert(fields, field)
  table.insert(fields, value)
  rated = rated or field == "rate" or field == "burst"
end
redis.call("HSET", key.conf, unpack(fields))
if rated then
  redis.call("HDEL", key.conf, "tokens", "tokens_at")
  wake_ready(key)
end
return {"OK"}
