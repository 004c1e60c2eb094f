#!lua flags=allow-oom
-- resume: claims go on; those who wait for jobs are told.
--
-- @key conf     hash
-- @key wake     channel
-- @returns OK

redis.call("HDEL", key.conf, "paused")
redis.call("SPUBLISH", key.wake, "ready")
return {"OK"}
