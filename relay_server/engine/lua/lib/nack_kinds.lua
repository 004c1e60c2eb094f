-- nack_kinds: what each kind of nack does to a job. All return the state it goes to and the delay in ms.
--
-- @use record writes lease failures fail

local function retry(w, id, record, after, now, step)
  if record.attempt >= record.max_attempts then
    settle(record, DEAD, 0)
    bury(w, id, "inflight", record, now, ATTEMPTS)
    return DEAD, 0
  end
  local delay = tonumber(after) or backoff_ms(record)
  settle(record, delay > 0 and DELAYED or READY, delay)
  count(w, "retried", 1)
  return back_off(w, id, "inflight", record, now, step, delay), delay
end

local function reject(w, id, record, now)
  settle(record, DEAD, 0)
  bury(w, id, "inflight", record, now, REJECTED)
  return DEAD, 0
end

-- RELEASE or THROTTLED: the attempt is not counted. Without a least delay, claim and nack of one job could spin.
local function release(w, id, record, kind, after, now, step)
  local least = kind == "RELEASE" and 1000 or 100
  local delay = math.max(tonumber(after) or 1000, least)
  record.attempt = math.max(record.attempt - 1, 0)
  settle(record, DELAYED, delay)
  count(w, "released", 1)
  return back_off(w, id, "inflight", record, now, step, delay), delay
end

local function nack(w, key, id, record, kind, after, error_type, blob, now, step)
  if kind ~= "RETRY" and kind ~= "DEAD" then return release(w, id, record, kind, after, now, step) end
  record.error_type = short(error_type)
  note_failure(w, key, id, record, now, kind == "DEAD" and REJECTED_FAILURE or RETRY_FAILURE, blob)
  if kind == "DEAD" then return reject(w, id, record, now) end
  return retry(w, id, record, after, now, step)
end
