#!lua flags=allow-oom
-- run_now: delayed -> ready, before its time.
--
-- @key delayed  zset
-- @key ready    zset
-- @key body     hash
-- @key state    hash
-- @key conf     hash
-- @key count    hash
-- @key unreadable hash?
-- @key wake     channel
-- @arg now
-- @arg id
-- @number now?
-- @returns OK | GONE | WRONG_STATE
-- @reply word
-- @use now settings order record writes jobs wake aside

local records, unreadable = read_records(key.state, {id})
local record = records[id]
if unreadable then
  local w = new_writes()
  set_aside_named(w, key, unreadable, "delayed")
  apply(key, w)
end
if not record then return {"GONE"} end
if not redis.call("ZSCORE", key.delayed, id) then return {"WRONG_STATE"} end
local w = new_writes()
record.score = order_score(now_ms(now), record.priority, read_settings(key.conf).step)
leave(w, id, "delayed")
to_ready(w, id, record.score)
save(w, id, record)
apply(key, w)
return {"OK"}
