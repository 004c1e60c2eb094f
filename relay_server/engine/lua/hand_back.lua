#!lua flags=allow-oom
-- hand_back: inflight -> ready, at the old place, the attempt returned; -> (gone) for a cancelled job. For jobs that a
-- server claimed and could not deliver.
--
-- @key inflight zset
-- @key ready    zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key count    hash
-- @key unreadable hash?
-- @key wake     channel
-- @each id token
-- @returns how many were handed back
-- @reply done
-- @use batch writes aside lease hand_back

local records, unreadable = named_records(key)
local w, n = new_writes(), 0
set_aside_named(w, key, unreadable, "inflight")
for id, token in each() do
  local record = records[id]
  if lease_word(record, token) == "OK" then
    hand_back(w, id, record)
    records[id] = nil
    n = n + 1
  end
end
apply(key, w)
return {tostring(n)}
