#!lua flags=allow-oom
-- unclaim: inflight -> ready, for a server's last claim whose reply was lost. Of that claim only what is still held counts.
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
-- @use record writes aside lease hand_back

local stored = redis.call("HGET", key.claims, server)
if not stored or string.sub(stored, 1, 16) ~= nonce then return {"NONE", "0"} end
local w, n, at = new_writes(), 0, 25
while at + 17 <= #stored do -- one that was cut ends early
  local token = string.sub(stored, at, at + 15)
  local many = math.min(struct.unpack("<H", stored, at + 16), math.floor((#stored - at - 17) / 16))
  local ids = {}
  for i = 0, many - 1 do
    local from = at + 18 + 16 * i
    table.insert(ids, string.sub(stored, from, from + 15))
  end
  at = at + 18 + 16 * many
  local records, unreadable = read_records(key.state, ids)
  set_aside_named(w, key, unreadable, "inflight")
  for _, id in ipairs(ids) do
    if lease_word(records[id], token) == "OK" then
      hand_back(w, id, records[id])
      n = n + 1
    end
  end
end
apply(key, w)
redis.call("HDEL", key.claims, server)
return {"OK", tostring(n)}
