-- writes: what a script decided to change, collected while it reads and applied in a handful of variadic commands.
--
-- Scripts read and check first and call apply(key, w) last, so an error leaves the queue as it was. Each list is made when
-- something goes into it, so a script touches, and declares, the keys that it changes and no others.
--
-- @use record counters

local function new_writes()
  return {leaves = {}, enters = {}, fields = {}, deleted = {}, blank = {}, counts = {}}
end

local function add(lists, name, value)
  local list = lists[name]
  if not list then
    list = {}
    lists[name] = list
  end
  list[#list + 1] = value
end

local function add_pair(lists, name, first, second)
  local list = lists[name]
  if not list then
    list = {}
    lists[name] = list
  end
  local n = #list
  list[n + 1], list[n + 2] = first, second
end

local function leave(w, id, from)
  add(w.leaves, from, id)
end

local function enter(w, id, to, score)
  add_pair(w.enters, to, score, id)
end

-- Sets the job's field in one of the hashes.
local function put(w, id, hash, value)
  add_pair(w.fields, hash, id, value)
end

local function save(w, id, record)
  put(w, id, "state", encode(record))
end

-- Nothing of the job stays; `leave` takes it out of its index.
local JOB_HASHES = {"body", "state", "error"}
local function delete(w, id)
  if not w.deleted.body then
    local ids = {} -- one list for the three
    for _, hash in ipairs(JOB_HASHES) do w.deleted[hash] = ids end
  end
  add(w.deleted, "body", id)
end

local function erase(w, id, from)
  leave(w, id, from)
  delete(w, id)
end

local function count(w, name, n)
  w.counts[name] = (w.counts[name] or 0) + n
end

local function in_chunks(command, name, values)
  for i = 1, #values, 2000 do redis.call(command, name, unpack(values, i, math.min(i + 1999, #values))) end
end

local function apply(key, w)
  for index, ids in pairs(w.leaves) do in_chunks("ZREM", key[index], ids) end
  if w.before_enter then w.before_enter(key, w) end
  for index, scores in pairs(w.enters) do in_chunks("ZADD", key[index], scores) end
  for hash, fields in pairs(w.fields) do in_chunks("HSET", key[hash], fields) end
  for hash, ids in pairs(w.deleted) do in_chunks("HDEL", key[hash], ids) end
  for hash, ids in pairs(w.blank) do
    for _, id in ipairs(ids) do redis.call("HSETNX", key[hash], id, "") end
  end
  for name, n in pairs(w.counts) do
    if n > 0 then add_to(key.count, name, n) end
  end
  if w.at_last then w.at_last(key, w) end
end
