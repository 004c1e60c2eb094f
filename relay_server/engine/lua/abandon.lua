#!lua flags=allow-oom
-- abandon: inflight -> delayed | ready | dead | (gone), for leases that were not extended since their worker's stream
-- ended. A cancelled job is gone.
--
-- @key inflight zset
-- @key ready    zset
-- @key delayed  zset
-- @key dead     zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key conf     hash
-- @key count    hash
-- @key unreadable hash?
-- @key wake     channel
-- @arg now
-- @arg seed
-- @arg since         when the stream ended, by the store's clock
-- @each id token
-- @number now? seed since
-- @returns how many leases were ended, how many were looked at: all of them, unless long errors are kept with many
-- @reply done looked
-- @use now batch settings writes aside lease fail expire

local t = now_ms(now)
math.randomseed(tonumber(seed))
local settings = read_settings(key.conf)
local records, unreadable = named_records(key)
local w, n, looked, written = new_writes(), 0, 0, 0
set_aside_named(w, key, unreadable, "inflight")
for id, token in each() do
  local record = records[id]
  if lease_word(record, token) == "OK" and record.extended <= tonumber(since) then
    written = written + failure_cost(key, id, "")
    if n > 0 and written > FAILURES_WRITTEN_BYTES_MAX then break end
    expire_lease(w, key, id, record, t, settings)
    records[id] = nil
    n = n + 1
  end
  looked = looked + 1
end
apply(key, w)
return {tostring(n), tostring(looked)}
