#!lua flags=allow-oom
-- note_sessions: enters, renews or removes workers' sessions, and removes some that nobody renewed: a server that was
-- killed leaves its own behind.
--
-- An empty entry: the session is gone. An entry begins with what the indexes are made of: server, owner and worker, slots, queues (engine/roster.py). It is
-- removed only by the server that wrote it, and never replaced by another principal's: ids come from clients.
--
-- @key entry hash
-- @key seen  zset
-- @key name  zset
-- @key crew  zset
-- @arg now
-- @arg server
-- @arg stale_ms      an entry that was not renewed for longer is removed
-- @arg sessions_max  entries there may be; what is over that is not entered
-- @each id entry
-- @number now? stale_ms sessions_max
-- @returns more (1: others are stale), how many were stale and removed, how many were not entered
-- @use now

local SWEPT_MAX, QUEUES_MAX = 25, 100  -- a session is in the index of each of its queues
local t = now_ms(now)

local function read_heading(e)
  local from, owner, worker, slots, n, at = struct.unpack("<Bc0Bc0Bc0HB", e)
  local head = {server = from, owner = owner, worker = worker, slots = slots, queues = {}}
  for i = 1, n do
    head.queues[i], at = struct.unpack("<Bc0", e, at)
  end
  head.raw = string.sub(e, 1, at - 1)
  return head
end
local function heading(e)  -- nil: there is none, or it cannot be read
  local ok, head = pcall(read_heading, e or "")
  return ok and head or nil
end
local ids, new = {}, {}
for id, entry in each() do
  table.insert(ids, id)
  table.insert(new, entry)
end
local stale = redis.call("ZRANGE", key.seen, "-inf", t - tonumber(stale_ms) - 1, "BYSCORE", "LIMIT", 0, SWEPT_MAX)
local entries = redis.call("HLEN", key.entry)

-- What is gone of each key, and what comes.
local gone = {entry = {}, seen = {}, name = {}, crew = {}}
local come = {entry = {}, seen = {}, name = {}, crew = {}}
local function put(at, score, member)
  table.insert(at, score)
  table.insert(at, member)
end
local function listed(id, head, each_member)
  each_member("name", head.worker .. "\0" .. id .. string.char(#id))
  for _, queue in ipairs(head.slots > 0 and head.queues or {}) do
    each_member("crew", queue .. "\0" .. head.slots .. "\0" .. id)
  end
end
local function unlist(id, head) listed(id, head, function(where, member) table.insert(gone[where], member) end) end
local function list(id, head) listed(id, head, function(where, member) put(come[where], 0, member) end) end
local function remove(id, head)
  table.insert(gone.entry, id)
  table.insert(gone.seen, id)
  if head then unlist(id, head) end
end
local function read(some) return #some > 0 and redis.call("HMGET", key.entry, unpack(some)) or {} end

local refused, room, renewed = 0, tonumber(sessions_max) - entries, {}
for i, stored in ipairs(read(ids)) do
  local id, old, head = ids[i], heading(stored), heading(new[i])
  if not head then
    if old and old.server == server then
      remove(id, old)
      room = room + 1
    end
  elseif (old and old.owner ~= head.owner) or (not stored and room <= 0) then
    refused = refused + 1
  else
    if not stored then room = room - 1 end
    if not old or old.raw ~= head.raw then
      if old then unlist(id, old) end
      list(id, head)
    end
    put(come.entry, id, new[i])
    put(come.seen, t, id)
    renewed[id] = true
  end
end
local swept, queues = 0, 0
for i, stored in ipairs(read(stale)) do
  if queues >= QUEUES_MAX then break end
  local head = heading(stored)
  if not renewed[stale[i]] then remove(stale[i], head) end
  swept, queues = i, queues + (head and #head.queues or 0)
end

for name, command in pairs({entry = "HDEL", seen = "ZREM", name = "ZREM", crew = "ZREM"}) do
  if #gone[name] > 0 then redis.call(command, key[name], unpack(gone[name])) end
end
for name, command in pairs({entry = "HSET", seen = "ZADD", name = "ZADD", crew = "ZADD"}) do
  if #come[name] > 0 then redis.call(command, key[name], unpack(come[name])) end
end
local more = #stale == SWEPT_MAX or swept < #stale
return {more and "1" or "0", tostring(swept), tostring(refused)}
