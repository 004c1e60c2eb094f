#!lua flags=allow-oom
-- cancel: ready | delayed -> (gone); inflight -> flagged, and gone with the next settle or expiry. Dead letters stay.
-- A job that cannot be read is removed at once, set aside or not, because nobody could ever settle it.
--
-- @key ready    zset
-- @key delayed  zset
-- @key inflight zset
-- @key dead     zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key count    hash
-- @key unreadable hash
-- @key wake     channel
-- @each id
-- @returns for each job that was done, in order: REMOVED | FLAGGED | DEAD | GONE
-- @row word
-- @use batch indexes writes jobs wake aside free

local records, unreadable, ids = named_records(key)
local w, reply, flagged = new_writes(), {}, {}
local at = {}
for _, index in ipairs(INDEXES) do
  for i, score in ipairs(scores_of(key[index], ids)) do
    if score then at[ids[i]] = index end
  end
end
local cannot_be_read = {}
for _, id in ipairs(unreadable or {}) do cannot_be_read[id] = true end
if redis.call("HLEN", key.unreadable) > 0 then
  for i, entry in ipairs(redis.call("HMGET", key.unreadable, unpack(ids))) do
    if entry then cannot_be_read[ids[i]] = true end
  end
end
local freed, fits = 0, true
for _, id in ipairs(ids) do
  local record, index = records[id], at[id]
  fits, freed = may_free(key, id, freed)
  if not fits then break end
  local word = "GONE"
  if record and index == "dead" then
    word = "DEAD"
  elseif record and index == "inflight" then
    word = "FLAGGED"
    record.cancelled = 1
    save(w, id, record)
    table.insert(flagged, id)
  elseif record and index then
    word = "REMOVED"
    erase(w, id, index)
    count(w, "cancelled", 1)
    records[id] = nil
  elseif cannot_be_read[id] and index ~= "dead" then
    word = "REMOVED"
    if index then leave(w, id, index) end
    erase_aside(w, id)
    count(w, "cancelled", 1)
    cannot_be_read[id] = nil
  end
  table.insert(reply, word)
end
apply(key, w)
if #flagged > 0 then wake_cancelled(key, flagged) end
return reply
