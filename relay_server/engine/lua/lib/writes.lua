-- writes: what a script decided to change, collected while it reads and applied in a handful of variadic commands.
--
-- Scripts read and check first and call apply(key, w) last, so an error leaves the queue as it was.

local function new_writes()
  return {ready = {}, delayed = {}, inflight = {}, dead = {}, unindex = {}, state = {}, gone = {}, aside = {}, missing = {}, dropped = {}, failures = {}, counts = {},
    wake_now = false, wake_at = nil}
end

local function leave(w, id, from)
  w.unindex[from] = w.unindex[from] or {}
  table.insert(w.unindex[from], id)
end

-- Each id is a member of one index, `from`, or of none (""); it leaves that one and enters `to` with a score.
local function move(w, id, from, to, score)
  if from ~= "" and from ~= to then leave(w, id, from) end
  table.insert(w[to], score)
  table.insert(w[to], id)
end

local function save(w, id, record)
  table.insert(w.state, id)
  table.insert(w.state, encode(record))
end

-- The job ends: it leaves its index, and nothing of it stays.
local function erase(w, id, from)
  leave(w, id, from)
  table.insert(w.gone, id)
end

-- The same for one that was set aside, or cannot be read.
local function drop(w, id)
  table.insert(w.dropped, id)
  table.insert(w.gone, id)
end

local function count(w, name, n)
  w.counts[name] = (w.counts[name] or 0) + n
end

local function to_ready(w, id, from, score)
  move(w, id, from, "ready", score)
  w.wake_now = true
end

local function to_delayed(w, id, from, due)
  move(w, id, from, "delayed", due)
  if not w.wake_at or due < w.wake_at then w.wake_at = due end
end

local function each_chunk(list, size, fn)
  for i = 1, #list, size do fn(i, math.min(i + size - 1, #list)) end
end

local function apply(key, w)
  for from, ids in pairs(w.unindex) do
    each_chunk(ids, 1000, function(i, j) redis.call("ZREM", key[from], unpack(ids, i, j)) end)
  end
  local head = w.wake_at and redis.call("ZRANGE", key.delayed, 0, 0, "WITHSCORES")
  for _, index in ipairs({"ready", "delayed", "inflight", "dead"}) do
    each_chunk(w[index], 2000, function(i, j) redis.call("ZADD", key[index], unpack(w[index], i, j)) end)
  end
  each_chunk(w.state, 2000, function(i, j) redis.call("HSET", key.state, unpack(w.state, i, j)) end)
  each_chunk(w.failures, 2000, function(i, j) redis.call("HSET", key.error, unpack(w.failures, i, j)) end)
  each_chunk(w.gone, 1000, function(i, j)
    redis.call("HDEL", key.body, unpack(w.gone, i, j))
    redis.call("HDEL", key.state, unpack(w.gone, i, j))
    redis.call("HDEL", key.error, unpack(w.gone, i, j))
  end)
  each_chunk(w.aside, 2000, function(i, j) redis.call("HSET", key.unreadable, unpack(w.aside, i, j)) end)
  for _, field in ipairs(w.missing) do redis.call("HSETNX", field[1], field[2], "") end
  each_chunk(w.dropped, 1000, function(i, j) redis.call("HDEL", key.unreadable, unpack(w.dropped, i, j)) end)
  for name, n in pairs(w.counts) do
    if n > 0 then add_to(key.count, name, n) end
  end
  if w.wake_now then
    redis.call("SPUBLISH", key.wake, "ready")
  elseif w.wake_at and (not head[2] or w.wake_at < tonumber(head[2])) then
    redis.call("SPUBLISH", key.wake, string.format("due %.0f", w.wake_at))
  end
end
