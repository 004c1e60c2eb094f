#!lua flags=allow-oom
-- requeue: dead -> ready, attempts and expirations reset, an expires_at that has passed removed. The epoch goes on.
--
-- @key dead     zset
-- @key ready    zset
-- @key body     hash
-- @key state    hash
-- @key conf     hash
-- @key count    hash
-- @key unreadable hash?
-- @key wake     channel
-- @arg now
-- @arg cutoff        died at or before; a job that died again since is left
-- @each id
-- @number now? cutoff
-- @returns how many were requeued, how many were looked at: all of them
-- @reply done looked
-- @use now batch settings order writes jobs wake aside

local t = now_ms(now)
local settings = read_settings(key.conf)
local records, unreadable, ids = named_records(key)
local died = redis.call("ZMSCORE", key.dead, unpack(ids))
local w, n = new_writes(), 0
set_aside_named(w, key, unreadable, "dead")
for i, id in ipairs(ids) do
  local record = records[id]
  if record and died[i] and tonumber(died[i]) <= tonumber(cutoff) then
    record.attempt, record.expirations, record.reason, record.error_type = 0, 0, 0, ""
    if record.expires > 0 and record.expires <= t then record.expires = 0 end
    record.score = order_score(t, record.priority, settings.step)
    leave(w, id, "dead")
    to_ready(w, id, record.score)
    save(w, id, record)
    records[id] = nil
    n = n + 1
  end
end
count(w, "requeued", n)
apply(key, w)
return {tostring(n), tostring(#ids)}
