-- last_claim: the last claim of each server, one field of `claims` each. If the reply was lost, this entry says which
-- jobs to hand back.
--
-- Format: nonce (16), when the last of its leases ends (d), then for each session: lease token (16), how many jobs (H),
-- their ids (16 each).

local CLAIMS_TTL_MS, LOOK_AT, OVER_MS = 3600000, 8, 60000

local function pack_claim(nonce, groups, now)
  local parts, ends = {nonce, ""}, 0
  for _, group in ipairs(groups) do
    if #group.ids > 0 then
      ends = math.max(ends, now + group.lease)
      parts[#parts + 1] = group.token .. struct.pack("<H", #group.ids) .. table.concat(group.ids)
    end
  end
  parts[2] = struct.pack("<d", ends)
  return table.concat(parts)
end

local function claim_nonce(packed)
  return string.sub(packed, 1, 16)
end

-- 0 for a claim that was cut.
local function claim_ends(packed)
  return #packed >= 24 and struct.unpack("<d", packed, 17) or 0
end

-- {token, ids} of each session; fewer when the claim was cut.
local function claim_groups(packed)
  local groups, at = {}, 25
  while at + 17 <= #packed do
    local token, n = struct.unpack("<c16H", packed, at)
    at = at + 18
    n = math.min(n, math.floor((#packed - at + 1) / 16))
    local ids = {}
    for i = 1, n do ids[i] = string.sub(packed, at + 16 * (i - 1), at + 16 * i - 1) end
    groups[#groups + 1] = {token = token, ids = ids}
    at = at + 16 * n
  end
  return groups
end

-- A server that is gone leaves its last claim behind. Each call looks at some, and forgets those whose leases ended
-- more than a minute ago.
local function forget_claims(key, now)
  local servers = {}
  local some = redis.call("HRANDFIELD", key.claims, LOOK_AT, "WITHVALUES")
  for i = 1, #some, 2 do
    if not (claim_ends(some[i + 1]) > now - OVER_MS) then servers[#servers + 1] = some[i] end
  end
  if #servers > 0 then redis.call("HDEL", key.claims, unpack(servers)) end
end

local function remember_claim(key, server, nonce, groups, now)
  if redis.call("HSET", key.claims, server, pack_claim(nonce, groups, now)) == 1 then forget_claims(key, now) end
  redis.call("PEXPIRE", key.claims, CLAIMS_TTL_MS)
end
