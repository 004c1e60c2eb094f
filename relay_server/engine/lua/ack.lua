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
-- @row word ran_ms
-- @use now batch writes jobs aside lease

local t = now_ms(now)
local records, unreadable = named_records(key)
local w, reply, totals, n = new_writes(), {}, {OK = 0, CANCELLED = 0, LEASE_LOST = 0, GONE = 0}, 0
set_aside_named(w, key, unreadable, "inflight")
for id, token in each() do
  local record = records[id]
  local word, ran = lease_word(record, token), ""
  if word == "OK" then
    if record.cancelled == 1 then word = "CANCELLED" end
    ran = ms_text(math.max(0, t - record.claimed))
    erase(w, id, "inflight")
    records[id] = nil
  elseif word ~= "GONE" then
    word = "LEASE_LOST"
  end
  totals[word] = totals[word] + 1
  reply[n + 1], reply[n + 2] = word, ran
  n = n + 2
end
count(w, "acked", totals.OK)
count(w, "cancelled", totals.CANCELLED)
count(w, "stale", totals.LEASE_LOST)
apply(key, w)
return reply
