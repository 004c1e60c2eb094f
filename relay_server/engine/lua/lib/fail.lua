-- fail: what happens to a job whose attempt failed: it waits, or becomes a dead letter. States are the numbers of the
-- contract.
--
-- @use order writes jobs wake failures

local READY, DELAYED, INFLIGHT, DEAD = 1, 2, 3, 4

-- Full jitter: uniform in [0, min(max_backoff, initial * multiplier ^ (attempt - 1))].
local function backoff_ms(record)
  local cap = record.initial_backoff * record.multiplier ^ (record.attempt - 1)
  if not (cap < record.max_backoff) then cap = record.max_backoff end
  return math.floor(math.random() * cap)
end

-- Adds a failed attempt, and keeps as many of the earlier ones as fit.
local function note_failure(w, key, id, record, now, kind, blob)
  local frame = struct.pack("<dHBBc0I4c0", now, record.attempt, kind, #record.worker, record.worker, #blob, blob)
  local old = redis.call("HGET", key.error, id) or ""
  local readable, starts, stop = pcall(failure_starts, old)
  if not readable then old, starts, stop = "", {}, 1 end
  local first = #starts + 1
  while first > 1 and #starts - first + 2 < FAILURES_KEPT and #frame + stop - starts[first - 1] <= FAILURE_BYTES_KEPT do
    first = first - 1
  end
  put(w, id, "error", string.sub(old, starts[first] or stop) .. frame)
end

-- Adding a failure writes all kept failures again, so a script bounds the bytes that it writes in this way.
local FAILURES_WRITTEN_BYTES_MAX = 524288
local function failure_cost(key, id, blob)
  return redis.call("HSTRLEN", key.error, id) + #blob
end

local function bury(w, id, from, record, now, reason)
  record.reason = reason
  record.token = ""
  leave(w, id, from)
  enter(w, id, "dead", now)
  save(w, id, record)
  count(w, "dead", 1)
end

-- The job waits `delay` ms, or is ready when that is 0. Returns its state.
local function back_off(w, id, from, record, now, step, delay)
  local state = delay > 0 and DELAYED or READY
  leave(w, id, from)
  if state == READY then
    record.score = order_score(now, record.priority, step)
    to_ready(w, id, record.score)
  else
    to_delayed(w, id, now + delay)
  end
  save(w, id, record)
  return state
end
