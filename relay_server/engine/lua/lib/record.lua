-- record: the mutable record of a job, packed as one string in the `state` hash. engine/record.py is its twin.
--
-- It starts with its order score. The server packs the rest; enqueue puts the score in front, because only the store's
-- clock gives it. It ends with its own length, so a record that was cut, lengthened or shifted is noticed and never
-- misread. `later` is what a newer version of Relay appended: kept, not read. A change of the fields before it has
-- another version number. All times are ms. `token` is empty unless the job is in flight. `extended` is when the
-- lease was claimed or last extended. `settled` is empty, or says how the last lease was settled: token (16), state (1),
-- delay (8).

local RECORD_VERSION = 1
local RECORD = "<dBbBBHHHI4I4fI4I4I4ddddf" .. "Bc0Bc0Bc0Bc0Bc0Bc0" .. "Hc0H"
local TIME_MAX = 2 ^ 47 -- the year 6429; the contract has neither times nor durations beyond it
local READABLE_MULTIPLIER_MAX = 2 ^ 31 -- above the contract's bound, so that it may be raised one day

-- Why a job is dead. Another reason needs another store format: an older server could not read it (adr/0012).
local ATTEMPTS, REJECTED, POISON, EXPIRED = 1, 2, 3, 4
local REASON_MAX = EXPIRED

-- The length of a text is one byte. A longer text is cut, or the whole record could not be read.
local function short(text)
  return string.sub(text, 1, 255)
end

-- nil when Relay cannot have written it, or a later version did. Raises an error when it is too short.
local function decode(raw)
  local score, version, priority, cancelled, reason, attempt, expirations, max_attempts, initial_backoff, max_backoff,
    multiplier, max_runtime, lease, body_len, epoch, claimed, extended, expires, progress, token, settled, type,
    error_type, worker, note, later, size, at = struct.unpack(RECORD, raw)
  if version ~= RECORD_VERSION or size ~= #raw or at ~= #raw + 1 or cancelled > 1 or reason > REASON_MAX
    or not (#token == 0 or #token == 16) or not (#settled == 0 or #settled == 25)
    -- Written so that NaN is refused, too.
    or not (score >= -TIME_MAX and score <= TIME_MAX and claimed >= -TIME_MAX and claimed <= TIME_MAX
      and extended >= -TIME_MAX and extended <= TIME_MAX and expires >= -TIME_MAX and expires <= TIME_MAX
      and epoch >= 0 and epoch <= TIME_MAX and progress >= 0 and progress <= 1
      and multiplier >= 0 and multiplier <= READABLE_MULTIPLIER_MAX) then
    return nil
  end
  return {
    score = score, priority = priority, cancelled = cancelled, reason = reason, attempt = attempt,
    expirations = expirations, max_attempts = max_attempts, initial_backoff = initial_backoff,
    max_backoff = max_backoff, multiplier = multiplier, max_runtime = max_runtime, lease = lease, body_len = body_len,
    epoch = epoch, claimed = claimed, extended = extended, expires = expires, progress = progress, token = token,
    settled = settled, type = type, error_type = error_type, worker = worker, note = note, later = later,
  }
end

local function encode(r)
  local size = 88 + #r.token + #r.settled + #r.type + #r.error_type + #r.worker + #r.note + #r.later
  return struct.pack(RECORD, r.score, RECORD_VERSION, r.priority, r.cancelled, r.reason, r.attempt, r.expirations,
    r.max_attempts, r.initial_backoff, r.max_backoff, r.multiplier, r.max_runtime, r.lease, r.body_len, r.epoch,
    r.claimed, r.extended, r.expires, r.progress, #r.token, r.token, #r.settled, r.settled, #r.type, r.type,
    #r.error_type, r.error_type, #r.worker, r.worker, #r.note, r.note, #r.later, r.later, size)
end

-- The records by id, without those that are missing; then the ids whose record cannot be read, or nil.
local function read_records(state_key, ids)
  local records, unreadable = {}, nil
  if #ids == 0 then return records end
  local raws = redis.call("HMGET", state_key, unpack(ids))
  for i, id in ipairs(ids) do
    if raws[i] and not records[id] then
      local whole, record = pcall(decode, raws[i])
      if whole and record and #id == 16 then
        records[id] = record
      else
        unreadable = unreadable or {}
        table.insert(unreadable, id)
      end
    end
  end
  return records, unreadable
end

-- The few fields that filters and bounds need, for a third of the time; nil when version, length or texts are wrong.
local GLANCE_AT, GLANCE = 9, "<BxB" .. string.rep("x", 27) .. "I4" .. string.rep("x", 36) .. "Bc0Bc0Bc0Bc0"
local function glance(raw)
  local ok, version, cancelled, body_len, _, _, job_type, error_type = pcall(struct.unpack, GLANCE, raw, GLANCE_AT)
  ok = ok and version == RECORD_VERSION and struct.unpack("<H", raw, #raw - 1) == #raw
  return ok and {cancelled = cancelled == 1, body_len = body_len, type = job_type, error_type = error_type} or nil
end
