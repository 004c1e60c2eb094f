#!lua flags=no-writes,allow-oom
-- group: counts a bounded stretch of the dead letters by job type and error type, newest first. Read-only.
--
-- @key dead     zset
-- @key state    hash
-- @arg from_score    the place behind which to start; empty: at the newest
-- @arg from_id       empty: before the first of that score
-- @arg examine       how many to count, at most
-- @number examine+
-- @returns dead letters in all, how many were looked at, the place to go on behind: score and id (both empty at the
--   end), then for each group: type, error type, how many, first and last time of death
-- @reply total examined at_score at_id
-- @row type error_type n oldest newest
-- @use record walk

local page, ended = stretch(key.dead, "down", from_score, from_id, tonumber(examine), "")
local raws = raw_records(key.state, page)
local groups, by_name, last = {}, {}, #page / 2
for i = 1, last do
  local seen = raws[i] and glance(raws[i])
  if seen then
    local name = struct.pack("Bc0", #seen.type, seen.type) .. seen.error_type
    local group = by_name[name]
    if not group then
      group = {type = seen.type, error_type = seen.error_type, n = 0, newest = page[2 * i]}
      by_name[name], groups[#groups + 1] = group, group
    end
    group.n, group.oldest = group.n + 1, page[2 * i]
  end
end
local place = ended and {"", ""} or {page[2 * last], page[2 * last - 1]}
local reply = {tostring(redis.call("ZCARD", key.dead)), tostring(last), place[1], place[2]}
for _, g in ipairs(groups) do
  for _, v in ipairs({g.type, g.error_type, tostring(g.n), g.oldest, g.newest}) do reply[#reply + 1] = v end
end
return reply
