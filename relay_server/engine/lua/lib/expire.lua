-- expire: what happens to the job of a lease that ran out, or whose worker abandoned it.
--
-- @use record writes jobs aside failures fail outage

-- The lease counts as an attempt and as an expiration; a cancelled job is gone. Returns true when the job is buried.
local function expire_lease(w, key, id, record, now, settings)
  count(w, "expired", 1)
  if record.cancelled == 1 then
    erase(w, id, "inflight")
    count(w, "cancelled", 1)
    return false
  end
  record.expirations = math.min(record.expirations + 1, 65535)
  record.error_type = "LeaseExpired"
  record.token = ""
  note_failure(w, key, id, record, now, LEASE_EXPIRED_FAILURE, "")
  if record.expirations >= settings.max_expirations then
    bury(w, id, "inflight", record, now, POISON)
    return true
  end
  if record.attempt >= record.max_attempts then
    bury(w, id, "inflight", record, now, ATTEMPTS)
    return true
  end
  back_off(w, id, "inflight", record, now, settings.step, backoff_ms(record))
  return false
end

-- Takes up to `limit` leases whose deadline has passed, fewer when their jobs keep long errors. Returns how many it
-- took, how many of them it buried, and whether it took all.
local function reap_expired(w, key, now, settings, limit, outage)
  local due = redis.call("ZRANGEBYSCORE", key.inflight, "-inf", now, "WITHSCORES", "LIMIT", 0, limit)
  local ids = {}
  for i = 1, #due, 2 do table.insert(ids, due[i]) end
  local records = read_records(key.state, ids)
  local taken, buried, written = 0, 0, 0
  for i, id in ipairs(ids) do
    local record = records[id]
    written = written + failure_cost(key, id, "")
    if taken > 0 and written > FAILURES_WRITTEN_BYTES_MAX then break end
    if not record then
      set_aside(w, key, id, "inflight")
    elseif not spare(w, key, id, record, tonumber(due[2 * i]), now, outage) then
      if expire_lease(w, key, id, record, now, settings) then buried = buried + 1 end
    end
    taken = taken + 1
  end
  return taken, buried, taken == #ids and #ids < limit
end
