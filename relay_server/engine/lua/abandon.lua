#!lua flags=allow-oom
-- abandon: inflight -> delayed | ready | dead, for leases that were not renewed since their worker's stream ended.
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
-- @key wake     channel
-- @arg now
-- @arg seed
-- @arg since         when the stream ended, by the store's clock
-- @each id token
-- @number now? seed since
-- @returns how many leases were ended
-- @use now record order settings writes lease fail expire

local t = now_ms(now)
math.randomseed(tonumber(seed))
local settings = read_settings(key.conf)
local ids = {}
for id in each() do table.insert(ids, id) end
local records = read_records(key.state, ids)
local w, n = new_writes(), 0
for id, token in each() do
  local record = records[id]
  if lease_word(record, token) == "OK" and record.renewed <= tonumber(since) then
    expire_lease(w, key, id, record, t, settings)
    records[id] = nil
    n = n + 1
  end
end
apply(key, w)
return {tostring(n)}
