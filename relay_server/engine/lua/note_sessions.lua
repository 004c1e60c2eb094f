#!lua flags=allow-oom
-- note_sessions: enters, renews or removes workers' sessions, and removes some that nobody renewed, because a killed
-- server leaves its sessions behind.
--
-- An empty entry says that the session is gone. Only the server that wrote an entry may remove it, and another
-- principal's never replaces it, because ids come from clients.
--
-- @key entry hash
-- @key seen  zset
-- @key name  zset
-- @key crew  zset
-- @arg now
-- @arg server
-- @arg kept_ms       an entry that was not renewed for longer is removed
-- @arg sessions_max  entries there may be; what is over that is not entered
-- @each id entry
-- @number now? kept_ms sessions_max
-- @returns more (1: there are others to remove), how many that nobody renewed were removed, how many were not entered
-- @reply more removed refused
-- @use now writes session

local SWEPT_MAX, QUEUES_MAX = 25, 100 -- how many sessions a sweep removes, and queues in whose indexes they are
local t = now_ms(now)
local ids, entries = {}, {}
for id, entry in each() do
  table.insert(ids, id)
  table.insert(entries, entry)
end
local function stored_entries(some)
  return #some > 0 and redis.call("HMGET", key.entry, unpack(some)) or {}
end
local lapsed = redis.call("ZRANGE", key.seen, "-inf", t - tonumber(kept_ms) - 1, "BYSCORE", "LIMIT", 0, SWEPT_MAX)
local room = tonumber(sessions_max) - redis.call("HLEN", key.entry)

local w, refused, renewed = new_writes(), 0, {}
for i, stored in ipairs(stored_entries(ids)) do
  local id, old, head = ids[i], heading(stored), heading(entries[i])
  if not head then
    if old and old.server == server then
      remove_session(w, id, old)
      room = room + 1
    end
  elseif (old and old.owner ~= head.owner) or (not stored and room <= 0) then
    refused = refused + 1
  else
    if not stored then room = room - 1 end
    if not old or old.raw ~= head.raw then
      if old then leave_session(w, id, old) end
      enter_session(w, id, head)
    end
    put(w, id, "entry", entries[i])
    enter(w, id, "seen", t)
    renewed[id] = true
  end
end
local swept, queues = 0, 0
for i, stored in ipairs(stored_entries(lapsed)) do
  if queues >= QUEUES_MAX then break end
  local head = heading(stored)
  if not renewed[lapsed[i]] then remove_session(w, lapsed[i], head) end
  swept, queues = i, queues + (head and #head.queues or 0)
end
apply_lists(key, w)
local more = #lapsed == SWEPT_MAX or swept < #lapsed
return {more and "1" or "0", tostring(swept), tostring(refused)}
