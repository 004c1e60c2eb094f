#!lua flags=allow-oom
-- pause: no more claims from the queue. Jobs in flight go on.
--
-- @key conf     hash
-- @returns OK
-- @reply word

redis.call("HSET", key.conf, "paused", "1")
return {"OK"}
