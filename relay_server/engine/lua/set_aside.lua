#!lua flags=allow-oom
-- set_aside: inflight -> set aside as unreadable, for jobs whose body the server that claimed them could not read.
--
-- @key inflight zset
-- @key body     hash
-- @key state    hash
-- @key count    hash
-- @key unreadable hash
-- @each id token
-- @returns how many were set aside
-- @reply done
-- @use batch writes jobs aside lease

local records = named_records(key)
local w, n = new_writes(), 0
for id, token in each() do
  local record = records[id]
  if lease_word(record, token) == "OK" then
    record.token = ""
    save(w, id, record)
    set_aside(w, key, id, "inflight", "a body that is no job")
    records[id] = nil
    n = n + 1
  end
end
apply(key, w)
return {tostring(n)}
