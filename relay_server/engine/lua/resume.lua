#!lua flags=allow-oom
-- resume: claims go on; those who wait for jobs are told.
--
-- @key conf     hash
-- @key wake     channel
-- @returns OK
-- @use wake

redis.call("HDEL", key.conf, "paused")
wake_ready(key)
return {"OK"}
