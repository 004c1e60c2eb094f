-- free: the time to delete a body grows with its size. A script deletes one job, and more only up to these bytes; its
-- caller asks again for the rest.

local FREED_BYTES_MAX = 16777216

-- Whether this job's body still fits, and the bytes including it.
local function may_free(key, id, freed)
  local bytes = freed + redis.call("HSTRLEN", key.body, id)
  return freed == 0 or bytes <= FREED_BYTES_MAX, bytes
end
