#!lua flags=allow-oom
-- purge_dead: dead -> (gone).
--
-- @key dead     zset
-- @key ready    zset
-- @key delayed  zset
-- @key inflight zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key count    hash
-- @key wake     channel
-- @arg cutoff        died at or before; a job that died again since is left
-- @each id
-- @number cutoff
-- @returns how many were deleted
-- @use record writes

local ids = {}
for id in each() do table.insert(ids, id) end
local died = redis.call("ZMSCORE", key.dead, unpack(ids))
local w, n, done = new_writes(), 0, {}
for i, id in ipairs(ids) do
  if died[i] and not done[id] and tonumber(died[i]) <= tonumber(cutoff) then
    done[id] = true
    erase(w, id, "dead")
    n = n + 1
  end
end
count(w, "purged", n)
apply(key, w)
return {tostring(n)}
