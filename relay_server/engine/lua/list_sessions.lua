#!lua flags=no-writes,allow-oom
-- list_sessions: a page of workers' sessions, by worker, then by session. Read-only.
--
-- @key entry hash
-- @key seen  zset
-- @key name  zset
-- @arg now
-- @arg kept_ms   entries that were not renewed for longer are empty
-- @arg after     the place of the last one of the page before; empty: from the start
-- @arg limit
-- @number now? kept_ms limit
-- @returns for each: its place, id, when it was last renewed, entry
-- @row place id seen_ms entry
-- @use now

local from = after == "" and "-" or "(" .. after
local places = redis.call("ZRANGE", key.name, from, "+", "BYLEX", "LIMIT", 0, limit)
if #places == 0 then return {} end
local ids = {}
for i, place in ipairs(places) do
  ids[i] = string.sub(place, -1 - string.byte(place, -1), -2)
end
local entries = redis.call("HMGET", key.entry, unpack(ids))
local seen = redis.call("ZMSCORE", key.seen, unpack(ids))
local since, reply = now_ms(now) - tonumber(kept_ms), {}
for i, place in ipairs(places) do
  local at = tonumber(seen[i] or 0)
  local entry = at >= since and entries[i] or ""
  for _, value in ipairs({place, ids[i], ms_text(at), entry}) do table.insert(reply, value) end
end
return reply
