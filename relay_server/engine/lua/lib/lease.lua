-- lease: whether a token holds a job now, or settled it before.

local function lease_word(record, token)
  if not record then return "GONE" end
  if record.token ~= "" and record.token == token then return "OK" end
  if record.settled ~= "" and string.sub(record.settled, 1, 16) == token then return "REPEAT" end
  return "LEASE_LOST"
end

-- Ends the lease and keeps the answer, for a settle that is repeated.
local function settle(record, state, delay)
  record.settled = record.token .. struct.pack("<Bd", state, delay)
  record.token = ""
end

-- State and delay; nothing when the kept answer makes no sense.
local function settled_answer(record)
  local state, delay = struct.unpack("<Bd", string.sub(record.settled, 17))
  if state >= 1 and state <= 4 and delay >= 0 and delay <= 2^53 then return state, delay end
end
