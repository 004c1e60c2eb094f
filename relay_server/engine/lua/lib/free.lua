-- free: large bodies take time to delete, by the byte. A script that deletes stops before more than this, after one job at least;
-- its caller comes again for the rest.

local FREED_BYTES_MAX = 16777216

-- Whether this job's body still fits, and the bytes with it.
local function may_free(key, id, freed)
  local bytes = freed + redis.call("HSTRLEN", key.body, id)
  return freed == 0 or bytes <= FREED_BYTES_MAX, bytes
end
