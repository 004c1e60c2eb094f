#!lua flags=allow-oom
-- resume: claims go on, and servers that wait for jobs are woken.
--
-- @key conf     hash
-- @key wake     channel
-- @returns OK
-- @reply word
-- @use wake

redis.call("HDEL", key.conf, "paused")
wake_ready(key)
return {"OK"}
