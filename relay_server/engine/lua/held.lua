#!lua flags=no-writes,allow-oom
-- held: which of these leases are current? Read-only.
--
-- @key state    hash
-- @arg now
-- @each id token
-- @number now?
-- @returns now, then for each job: OK | GONE | LEASE_LOST | CANCELLED
-- @use now record lease

local ids = {}
for id in each() do table.insert(ids, id) end
local records = read_records(key.state, ids)
local reply = {string.format("%.0f", now_ms(now))}
for id, token in each() do
  local word = lease_word(records[id], token)
  if word == "OK" and records[id].cancelled == 1 then word = "CANCELLED" end
  if word == "REPEAT" then word = "LEASE_LOST" end
  table.insert(reply, word)
end
return reply
