#!lua flags=allow-oom
-- hand_back_claim: as `hand_back`, for the jobs of a server's last claim whose reply was lost. Jobs whose lease ended
-- since stay as they are.
--
-- @key inflight zset
-- @key ready    zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key count    hash
-- @key unreadable hash?
-- @key claims   hash
-- @key wake     channel
-- @arg server
-- @arg nonce
-- @returns NONE: no such claim was applied | OK, then how many jobs were handed back
-- @reply word done
-- @use record writes aside lease hand_back last_claim

local stored = redis.call("HGET", key.claims, server)
if not stored or claim_nonce(stored) ~= nonce then return {"NONE", "0"} end
local w, n = new_writes(), 0
for _, group in ipairs(claim_groups(stored)) do
  local records, unreadable = read_records(key.state, group.ids)
  set_aside_named(w, key, unreadable, "inflight")
  for _, id in ipairs(group.ids) do
    if lease_word(records[id], group.token) == "OK" then
      hand_back(w, id, records[id])
      n = n + 1
    end
  end
end
apply(key, w)
redis.call("HDEL", key.claims, server)
return {"OK", tostring(n)}
