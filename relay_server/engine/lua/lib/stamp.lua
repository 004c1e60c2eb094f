-- stamp: when the server took a job, in ms. The server appends Job.enqueue_time of the contract to every body
-- (rpc/parse_job.py, enqueue_stamp). 0 when a body does not end with it.

-- The bytes of bodies that one script reads for their stamps; more only for a single body.
local STAMP_BODIES_BYTES_MAX = 1048576

local function varint(text, at)
  local value, scale = 0, 1
  repeat
    local byte = string.byte(text, at) or 0
    value, scale, at = value + byte % 128 * scale, scale * 128, at + 1
  until byte < 128
  return value, at
end

local function stamp_ms(body)
  for length = 2, 14 do -- of the Timestamp: seconds, and nanoseconds when they are not zero
    local head = #body - length - 2
    if head >= 1 and string.sub(body, head, head + 3) == "\130\1" .. string.char(length, 8) then
      local seconds, at = varint(body, head + 4)
      local nanos = string.byte(body, at) == 16 and varint(body, at + 1) or 0
      return seconds * 1000 + nanos / 1e6
    end
  end
  return 0
end
