-- failures: the failed attempts that are kept with a job, oldest first. Each is a frame of time, attempt, kind, worker,
-- and the error as the contract encodes it. engine/record.py is its twin.

local RETRY_FAILURE, REJECTED_FAILURE, LEASE_EXPIRED_FAILURE, OUTAGE_FAILURE = 1, 2, 3, 4
local FAILURES_KEPT, FAILURE_BYTES_KEPT = 10, 32768

-- Where each frame begins, and where the next one would. Raises an error when the last one is cut.
local function failure_starts(frames)
  local starts, at = {}, 1
  while at <= #frames do
    starts[#starts + 1] = at
    local worker = string.byte(frames, at + 11)
    at = at + 16 + worker + struct.unpack("<I4", frames, at + 12 + worker)
  end
  assert(at == #frames + 1)
  return starts, at
end

-- The newest failure with at most `most` bytes of its error; empty without failures, or when they cannot be read.
local function newest_failure(frames, most)
  local ok, starts = pcall(failure_starts, frames)
  local at = ok and starts[#starts]
  if not at then return "" end
  local head = 12 + string.byte(frames, at + 11)
  local size = math.min(struct.unpack("<I4", frames, at + head), most)
  local error_at = at + head + 4
  local shortened = string.sub(frames, error_at, error_at + size - 1)
  return string.sub(frames, at, at + head - 1) .. struct.pack("<I4", size) .. shortened
end
