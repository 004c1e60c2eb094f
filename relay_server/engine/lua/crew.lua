#!lua flags=no-writes,allow-oom
-- crew: how many connected workers a queue has and how many jobs they take at once, in steps. Read-only.
--
-- @key crew zset
-- @arg queue
-- @arg after   where the step before ended; empty: from the start
-- @arg limit
-- @number limit
-- @returns workers, slots, where this step ended (empty: at the end)
-- @reply workers slots after

local from = after == "" and "[" .. queue .. "\0" or "(" .. after
local members = redis.call("ZRANGE", key.crew, from, "(" .. queue .. "\1", "BYLEX", "LIMIT", 0, limit)
local slots = 0
for _, member in ipairs(members) do
  slots = slots + tonumber(string.match(member, "%z(%d+)%z"))
end
return {tostring(#members), tostring(slots), #members == tonumber(limit) and members[#members] or ""}
