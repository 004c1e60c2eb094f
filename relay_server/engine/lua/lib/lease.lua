-- lease: does this token hold this job now, or did it settle it before?

local function lease_word(record, token)
  if not record then return "GONE" end
  if record.token ~= "" and record.token == token then return "OK" end
  if record.settled ~= "" and string.sub(record.settled, 1, 16) == token then return "REPEAT" end
  return "LEASE_LOST"
end

-- The job is no longer leased. The answer is remembered, so that a repeated settle hears it again.
local function settle(record, state, delay)
  record.settled = record.token .. struct.pack("<Bd", state, delay)
  record.token = ""
end

-- State and delay; nothing when it says what no settle does.
local function settled_answer(record)
  local state, delay = struct.unpack("<Bd", string.sub(record.settled, 17))
  if state >= 1 and state <= 4 and delay >= 0 and delay <= 2^53 then return state, delay end
end
