-- counters: totals in `count`. A total that is not a number starts again, because an error here would be half-way
-- through the writes.

local function add_to(count_key, name, n)
  local total = redis.pcall("HINCRBY", count_key, name, n)
  if type(total) == "table" and total.err then redis.call("HSET", count_key, name, n) end
end
