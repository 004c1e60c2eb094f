#!lua flags=no-writes,allow-oom
-- held: which of these leases are current? Read-only.
--
-- @key state    hash
-- @arg now
-- @each id token
-- @number now?
-- @returns now, then for each job: OK | GONE | LEASE_LOST | CANCELLED
-- @reply now
-- @row word
-- @use now batch lease

local records = named_records(key)
local reply = {ms_text(now_ms(now))}
for id, token in each() do
  local word = lease_word(records[id], token)
  if word == "OK" and records[id].cancelled == 1 then word = "CANCELLED" end
  if word == "REPEAT" then word = "LEASE_LOST" end
  table.insert(reply, word)
end
return reply
