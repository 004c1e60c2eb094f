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

local function settled_answer(record)
  return struct.unpack("<Bd", string.sub(record.settled, 17))
end
