#!lua flags=allow-oom
-- purge_dead: dead -> (gone).
--
-- @key dead     zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key count    hash
-- @arg cutoff        died at or before; a job that died again since is left
-- @each id
-- @number cutoff
-- @returns how many were deleted, how many were looked at: all of them, unless their bodies are large
-- @reply done looked
-- @use batch writes jobs free

local ids = named_ids()
local died = redis.call("ZMSCORE", key.dead, unpack(ids))
local w, n, looked, freed, fits, done = new_writes(), 0, 0, 0, true, {}
for i, id in ipairs(ids) do
  if died[i] and not done[id] and tonumber(died[i]) <= tonumber(cutoff) then
    fits, freed = may_free(key, id, freed)
    if not fits then break end
    done[id] = true
    erase(w, id, "dead")
    n = n + 1
  end
  looked = i
end
count(w, "purged", n)
apply(key, w)
return {tostring(n), tostring(looked)}
