-- fail: what becomes of a job whose attempt failed: backoff, or the dead letters. States and reasons are those of the contract.

local READY, DELAYED, INFLIGHT, DEAD = 1, 2, 3, 4
local ATTEMPTS, REJECTED, POISON, EXPIRED = 1, 2, 3, 4
local RETRY_FAILURE, REJECTED_FAILURE, LEASE_EXPIRED_FAILURE = 1, 2, 3
local FAILURES_KEPT, FAILURE_BYTES_KEPT = 10, 32768

-- Full jitter: uniform in [0, min(max_backoff, initial * multiplier ^ (attempt - 1))].
local function backoff_ms(record)
  local cap = record.initial_backoff * record.multiplier ^ (record.attempt - 1)
  if not (cap < record.max_backoff) then cap = record.max_backoff end
  return math.floor(math.random() * cap)
end

-- Remembers a failed attempt: frames of time, attempt, kind, worker and the error as the contract encodes it.
local function note_failure(w, key, id, record, now, kind, blob)
  local frame = struct.pack("<dHBBc0I4c0", now, record.attempt, kind, #record.worker, record.worker, #blob, blob)
  local frames = {frame}
  local bytes = #frame
  local old = redis.call("HGET", key.error, id)
  local starts, at = {}, 1
  while old and at <= #old do
    table.insert(starts, at)
    local _, _, _, _, _, next_at = struct.unpack("<dHBBc0I4c0", old, at)
    at = next_at
  end
  local stop = old and #old + 1
  for i = #starts, 1, -1 do
    local part = string.sub(old, starts[i], stop - 1)
    if #frames >= FAILURES_KEPT or bytes + #part > FAILURE_BYTES_KEPT then break end
    table.insert(frames, 1, part)
    bytes, stop = bytes + #part, starts[i]
  end
  table.insert(w.failures, id)
  table.insert(w.failures, table.concat(frames))
end

local function bury(w, id, from, record, now, reason)
  record.reason = reason
  record.token = ""
  move(w, id, from, "dead", now)
  save(w, id, record)
  count(w, "dead", 1)
end

-- Waits `delay` ms, or not at all. Returns the state it is in.
local function back_off(w, id, from, record, now, step, delay)
  if delay <= 0 then
    record.score = order_score(now, record.priority, step)
    to_ready(w, id, from, record.score)
    save(w, id, record)
    return READY
  end
  to_delayed(w, id, from, now + delay)
  save(w, id, record)
  return DELAYED
end
