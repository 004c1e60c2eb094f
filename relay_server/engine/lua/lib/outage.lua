-- outage: a lease that ended while no server was there to extend it is not its job's fault (adr/0013).
--
-- conf.clock is when a server last looked at the queue's leases. A gap of more than 10 s is an outage. Workers then
-- have a time of grace to come back and extend; after it a job goes back to its old place, and its attempt is not
-- counted.
--
-- @use now writes jobs wake failures fail

local OUTAGE_MS, GRACE_MS, LOOK_MS, NOTED_MS = 10000, 10000, 5000, 2000
local SPARED_MAX = 3 -- a job that is spared more often may be what kills the servers

local function find_outage(key, settings, now)
  local seen = settings.clock
  if seen and now - seen > OUTAGE_MS and redis.call("ZCARD", key.inflight) > 0 then
    return {from = seen, to = now, found = true}
  end
  return settings.outage_to and {from = settings.outage_from, to = settings.outage_to}
end

-- May be written at any point of a script: it changes no job.
local function note_outage(key, outage)
  redis.call("HSET", key.conf, "outage_from", ms_text(outage.from), "outage_to", ms_text(outage.to),
    "clock", ms_text(outage.to))
end

local function times_spared(key, id)
  local frames, n = redis.call("HGET", key.error, id) or "", 0
  local readable, starts = pcall(failure_starts, frames)
  for _, at in ipairs(readable and starts or {}) do
    if string.byte(frames, at + 10) == OUTAGE_FAILURE then n = n + 1 end
  end
  return n
end

-- True when the lease ended in the outage or in its grace. It then lasts until the end of the grace, or ends uncounted.
local function spare(w, key, id, record, deadline, now, outage)
  if not outage or record.cancelled == 1 or record.extended >= outage.to then return false end
  local until_ms = outage.to + GRACE_MS
  if deadline <= outage.from or deadline > until_ms then return false end
  if now < until_ms then
    enter(w, id, "inflight", until_ms)
    return true
  end
  if times_spared(key, id) >= SPARED_MAX then return false end
  note_failure(w, key, id, record, now, OUTAGE_FAILURE, "")
  record.attempt = math.max(record.attempt - 1, 0)
  record.token = ""
  leave(w, id, "inflight")
  to_ready(w, id, record.score)
  save(w, id, record)
  count(w, "spared", 1)
  return true
end
