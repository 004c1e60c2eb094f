#!lua flags=allow-oom
-- extend: inflight -> inflight, with a later deadline; with a max_runtime never past its end and a little more.
-- A job whose record cannot be read is GONE; the reaper sets it aside.
--
-- @key inflight zset
-- @key state    hash
-- @key count    hash
-- @arg now
-- @arg lease_ms      empty: as long as the lease was
-- @each id token fraction note
--   fraction: 0 to 1, or empty for no news
-- @number now? lease_ms? fraction?
-- @returns for each job: OK | GONE | LEASE_LOST | CANCELLED, ms left
-- @row word left_ms
-- @use now batch record writes jobs lease

local STOP_MS = 10000 -- behind the end of max_runtime, in which the worker stops the job
local t = now_ms(now)
local records, _, ids = named_records(key)
local deadlines = redis.call("ZMSCORE", key.inflight, unpack(ids))
local w, reply, at, stale = new_writes(), {}, 0, 0
for id, token, fraction, note in each() do
  at = at + 1
  local record = records[id]
  local word, left = lease_word(record, token), 0
  if word == "OK" then
    if lease_ms ~= "" then record.lease = tonumber(lease_ms) end
    local deadline = math.max(t + record.lease, tonumber(deadlines[at]) or 0)
    if record.max_runtime > 0 then deadline = math.min(deadline, record.claimed + record.max_runtime + STOP_MS) end
    record.extended = t
    if fraction ~= "" then record.progress, record.note = math.max(0, math.min(1, tonumber(fraction))), short(note) end
    enter(w, id, "inflight", deadline)
    save(w, id, record)
    left = math.max(0, deadline - t)
    if record.cancelled == 1 then word = "CANCELLED" end
  elseif word ~= "GONE" then
    word = "LEASE_LOST"
    stale = stale + 1
  end
  reply[2 * at - 1], reply[2 * at] = word, ms_text(left)
end
count(w, "stale", stale)
apply(key, w)
return reply
