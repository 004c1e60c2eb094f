-- record: the mutable record of a job, packed as one string in the `state` hash. engine/record.py is its twin.
--
-- The record starts with its order score, so that enqueue can complete what the server packed. All times are ms.
-- token is empty unless the job is in flight. settled is empty, or what settled last: token (16), state (1), delay (8).

local RECORD = "<dbBBHHHI4I4fI4I4I4ddddf" .. "Bc0Bc0Bc0Bc0Bc0Bc0"

-- A text has one byte for its length; a longer one would make the whole record unreadable, so it is cut.
local function short(text)
  return string.sub(text, 1, 255)
end

local function decode(raw)
  local r = {}
  r.score, r.priority, r.cancelled, r.reason, r.attempt, r.expirations, r.max_attempts, r.initial_backoff, r.max_backoff,
    r.multiplier, r.max_runtime, r.lease, r.body_len, r.epoch, r.claimed, r.renewed, r.expires, r.progress, r.token,
    r.settled, r.type, r.error_type, r.worker, r.note = struct.unpack(RECORD, raw)
  return r
end

local function encode(r)
  return struct.pack(RECORD, r.score, r.priority, r.cancelled, r.reason, r.attempt, r.expirations, r.max_attempts,
    r.initial_backoff, r.max_backoff, r.multiplier, r.max_runtime, r.lease, r.body_len, r.epoch, r.claimed, r.renewed, r.expires,
    r.progress, #r.token, r.token, #r.settled, r.settled, #r.type, r.type, #r.error_type, r.error_type, #r.worker, r.worker,
    #r.note, r.note)
end

-- The records of ids, as a table id -> record; ids without one are missing.
local function read_records(state_key, ids)
  local found = {}
  if #ids == 0 then return found end
  local raws = redis.call("HMGET", state_key, unpack(ids))
  for i, id in ipairs(ids) do
    if raws[i] and not found[id] then found[id] = decode(raws[i]) end
  end
  return found
end

-- What filters and bounds ask of a record, without the rest, which would cost three times as much; nil when it cannot be read.
local GLANCE_AT, GLANCE = 10, "<B" .. string.rep("x", 27) .. "I4" .. string.rep("x", 36) .. "Bc0Bc0Bc0Bc0"
local function glance(raw)
  local ok, cancelled, body_len, _, _, job_type, error_type = pcall(struct.unpack, GLANCE, raw, GLANCE_AT)
  return ok and {cancelled = cancelled == 1, body_len = body_len, type = job_type, error_type = error_type} or nil
end
