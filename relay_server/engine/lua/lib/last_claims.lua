-- last_claims: servers that are gone leave their last claim behind. A claim that adds one forgets some whose leases are long
-- over, so that there are never many more than servers that claimed within a lease and a minute.

local LAST_CLAIMS, LAST_CLAIM_MS = 8, 60000

local function forget_claims(claims, t)
  local over = {}
  local last = redis.call("HRANDFIELD", claims, LAST_CLAIMS, "WITHVALUES")
  for i = 1, #last, 2 do
    local ends = #last[i + 1] >= 24 and struct.unpack("<d", last[i + 1], 17) or 0 -- one that was cut is over
    if not (ends > t - LAST_CLAIM_MS) then table.insert(over, last[i]) end
  end
  if #over > 0 then redis.call("HDEL", claims, unpack(over)) end
end
