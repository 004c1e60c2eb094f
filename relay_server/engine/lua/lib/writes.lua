-- writes: what a script decided to change, collected while it reads and applied in a handful of variadic commands.
--
-- Scripts read and check first and call apply(key, w) last, so an error leaves the queue as it was. A list is made when
-- something goes into it, so a script touches, and declares, only keys that it may change.
--
-- @use now counters

local function new_writes()
  return {ZREM = {}, HDEL = {}, ZADD = {}, HSET = {}}
end

local function add(lists, name, value)
  local list = lists[name]
  if list then list[#list + 1] = value else lists[name] = {value} end
end

local function add_pair(lists, name, first, second)
  local list = lists[name]
  if list then
    local n = #list
    list[n + 1], list[n + 2] = first, second
  else
    lists[name] = {first, second}
  end
end

local function leave(w, id, from)
  add(w.ZREM, from, id)
end

local function enter(w, id, to, score)
  add_pair(w.ZADD, to, score, id)
end

-- Sets the job's field of a hash.
local function put(w, id, hash, value)
  add_pair(w.HSET, hash, id, value)
end

-- Sets a key with a TTL, by its whole name.
local function keep(w, name, value, ms)
  w.strings = w.strings or {}
  table.insert(w.strings, {name = name, value = value, ms = ms})
end

local function count(w, name, n)
  if n == 0 then return end
  w.counts = w.counts or {}
  w.counts[name] = (w.counts[name] or 0) + n
end

local function apply_list(key, w, command)
  for name, values in pairs(w[command]) do
    for i = 1, #values, 2000 do redis.call(command, key[name], unpack(values, i, math.min(i + 1999, #values))) end
  end
end

-- Removes first, so that a job may leave an index and enter it again.
local function apply_lists(key, w)
  apply_list(key, w, "ZREM")
  apply_list(key, w, "HDEL")
  if w.before_enter then w.before_enter(key, w) end
  apply_list(key, w, "ZADD")
  apply_list(key, w, "HSET")
end

local function apply(key, w)
  apply_lists(key, w)
  for _, one in ipairs(w.strings or {}) do redis.call("SET", one.name, one.value, "PX", ms_text(one.ms)) end
  for name, n in pairs(w.counts or {}) do add_to(key.count, name, n) end
  if w.message then w.publish(key, w.message) end
end
