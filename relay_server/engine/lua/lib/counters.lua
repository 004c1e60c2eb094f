-- counters: totals in `count`. One that is no number any more starts again, instead of failing half-way through the writes.

local function add_to(count_key, name, n)
  local total = redis.pcall("HINCRBY", count_key, name, n)
  if type(total) == "table" and total.err then redis.call("HSET", count_key, name, n) end
end
