#!lua
-- begin: gives a new queue its first settings. A setting that is there stays; a queue that has settings or counters is
-- not new and is left alone.
--
-- @key conf  hash
-- @key count hash
-- @arg again   1: the queue was forgotten a moment ago, and may have jobs since
-- @each field value
-- @number value
-- @returns BEGUN | PRESENT
-- @reply word

if again ~= "1" and redis.call("EXISTS", key.conf, key.count) > 0 then return {"PRESENT"} end
for field, value in each() do redis.call("HSETNX", key.conf, field, value) end
return {"BEGUN"}
