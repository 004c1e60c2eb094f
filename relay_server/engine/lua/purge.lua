#!lua flags=allow-oom
-- purge: ready | delayed | set aside as unreadable -> (gone), the head of the queue first.
--
-- @key ready    zset
-- @key delayed  zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key count    hash
-- @key unreadable hash
-- @arg limit
-- @number limit
-- @returns how many were deleted, fewer than limit when their bodies are large
-- @reply done
-- @use writes jobs aside free

local w, n, freed, fits = new_writes(), 0, 0, true
for _, index in ipairs({"ready", "delayed"}) do
  if fits and n < tonumber(limit) then
    for _, id in ipairs(redis.call("ZRANGE", key[index], 0, tonumber(limit) - n - 1)) do
      fits, freed = may_free(key, id, freed)
      if not fits then break end
      erase(w, id, index)
      n = n + 1
    end
  end
end
-- Jobs that were set aside go last.
if fits and n < tonumber(limit) then
  for _, id in ipairs(redis.call("HRANDFIELD", key.unreadable, tonumber(limit) - n)) do
    fits, freed = may_free(key, id, freed)
    if not fits then break end
    erase_aside(w, id)
    n = n + 1
  end
end
count(w, "purged", n)
apply(key, w)
return {tostring(n)}
