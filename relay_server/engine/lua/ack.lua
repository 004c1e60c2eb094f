#!lua flags=allow-oom
-- ack: inflight -> (gone). Only the current lease can finish a job; anything else changes nothing.
--
-- @key inflight zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key count    hash
-- @key unreadable hash?
-- @arg now
-- @each id token
-- @number now?
-- @returns for each job: OK | GONE | LEASE_LOST | CANCELLED, ms since its claim
-- @use now batch writes aside lease

local t = now_ms(now)
local records, unreadable = named_records(key)
local w, reply = new_writes(), {}
set_aside_named(w, key, unreadable, "inflight")
for id, token in each() do
  local record = records[id]
  local word = lease_word(record, token)
  local ran = ""
  if word == "OK" then
    if record.cancelled == 1 then word = "CANCELLED" end
    count(w, word == "OK" and "acked" or "cancelled", 1)
    ran = ms_text(math.max(0, t - record.claimed))
    erase(w, id, "inflight")
    records[id] = nil
  elseif word ~= "GONE" then
    word = "LEASE_LOST"
    count(w, "stale", 1)
  end
  table.insert(reply, word)
  table.insert(reply, ran)
end
apply(key, w)
return reply
