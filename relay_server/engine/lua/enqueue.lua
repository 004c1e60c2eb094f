#!lua
-- enqueue: (nothing) -> ready | delayed. A request that was applied before is answered as it was then, and changes nothing.
--
-- @key body     hash
-- @key state    hash
-- @key ready    zset
-- @key delayed  zset
-- @key conf     hash
-- @key count    hash
-- @key wake     channel
-- @keys remembered   `seen:` keys, one for each request that has one, then `key:` keys, one for each job that has one
-- @arg now
-- @arg horizon_ms    how long a request is remembered
-- @arg requests      packed for each request: how many jobs (H), has a seen key (B)
-- @each id plan tail body
--   plan: priority (b), 0 now | 1 delay | 2 run_at (B), ms (d), number of its key: (H), window ms (d), content hash (16 bytes if keyed)
--   tail: the record without its score
-- @number now? horizon_ms+
-- @returns now, then (job number, DUPLICATE | MISMATCH | FULL | REUSED, holder's id) for each job that was not simply created
-- @use now order settings counters

local t = now_ms(now)
local settings = read_settings(key.conf)
local jobs, ids = {}, {}
for id, plan, tail, body in each() do
  table.insert(jobs, {id = id, plan = plan, tail = tail, body = body})
  table.insert(ids, id)
end
local live = redis.call("HMGET", key.state, unpack(ids))
local known = {}
for i, id in ipairs(ids) do known[id] = live[i] and true or nil end
-- By name: two entries of a batch that share a key must share what is remembered of it.
local remembered = {}
if #extra_keys > 0 then
  for i, value in ipairs(redis.call("MGET", unpack(extra_keys))) do remembered[extra_keys[i]] = value end
end
local room = settings.max_jobs > 0 and settings.max_jobs - redis.call("HLEN", key.body) or math.huge

local bodies, states, ready, delayed, sets, reply = {}, {}, {}, {}, {}, {ms_text(t)}
local created, duplicates, due_first = 0, 0, nil

local function admit(job, number)
  if known[job.id] then return "CREATED", "" end
  local priority, kind, ms, key_number, window, at = struct.unpack("<bBdHd", job.plan)
  if key_number > 0 then
    assert(window >= 1 and window <= 2^53, "a window is a positive number of ms")
    local holder = remembered[extra_keys[key_number]]
    if holder and #holder == 15 + #job.plan - at + 2 then -- any other was not written by Relay, and holds nothing
      local word = string.sub(holder, 17) == string.sub(job.plan, at) and "DUPLICATE" or "MISMATCH"
      if word == "DUPLICATE" then duplicates = duplicates + 1 end
      return word, string.sub(holder, 1, 16)
    end
  end
  if created >= room then return "FULL", "" end
  local due = kind == 1 and t + ms or ms
  if kind == 0 or due <= t then due = t end
  local score = order_score(due, priority, settings.step)
  if due > t then
    table.insert(delayed, due)
    table.insert(delayed, job.id)
    if not due_first or due < due_first then due_first = due end
  else
    table.insert(ready, score)
    table.insert(ready, job.id)
  end
  table.insert(bodies, job.id)
  table.insert(bodies, job.body)
  table.insert(states, job.id)
  table.insert(states, struct.pack("<d", score) .. job.tail)
  if key_number > 0 then
    local value = job.id .. string.sub(job.plan, at)
    remembered[extra_keys[key_number]] = value
    table.insert(sets, {extra_keys[key_number], value, window})
  end
  known[job.id] = true
  created = created + 1
  return "CREATED", ""
end

-- What a request was answered; nil when that cannot be read. Then its jobs are known by their ids.
local WORDS = {DUPLICATE = true, MISMATCH = true, FULL = true}
local function read_answer(stored)
  local whole, answer = pcall(cmsgpack.unpack, stored)
  if not whole or type(answer) ~= "table" or type(answer.n) ~= "number" then return nil end
  for i = 1, #answer, 3 do
    local number, word, holder = unpack(answer, i, i + 2)
    if type(number) ~= "number" or number < 0 or number >= answer.n or not WORDS[word] or type(holder) ~= "string" then return nil end
  end
  return answer
end

local function recall(answer, first, n)
  for i = 0, n - 1 do
    if answer.n ~= n then
      table.insert(reply, tostring(first + i))
      table.insert(reply, "REUSED")
      table.insert(reply, "")
    end
  end
  if answer.n ~= n then return end
  for i = 1, #answer, 3 do
    table.insert(reply, tostring(first + answer[i]))
    table.insert(reply, answer[i + 1])
    table.insert(reply, answer[i + 2])
  end
end

local number, seen_number, at = 0, 0, 1
while at <= #requests do
  local n, has_seen
  n, has_seen, at = struct.unpack("<HB", requests, at)
  if has_seen == 1 then seen_number = seen_number + 1 end
  local stored = has_seen == 1 and remembered[extra_keys[seen_number]]
  local answered = stored and read_answer(stored)
  if answered then
    recall(answered, number, n)
  else
    local answer, accepted = {n = n}, false
    for i = 0, n - 1 do
      local word, holder = admit(jobs[number + i + 1], number + i)
      if word ~= "CREATED" then
        table.insert(reply, tostring(number + i))
        table.insert(reply, word)
        table.insert(reply, holder)
        table.insert(answer, i)
        table.insert(answer, word)
        table.insert(answer, holder)
      end
      accepted = accepted or word == "CREATED" or word == "DUPLICATE"
    end
    if has_seen == 1 and accepted then
      local value = cmsgpack.pack(answer)
      remembered[extra_keys[seen_number]] = value
      table.insert(sets, {extra_keys[seen_number], value, tonumber(horizon_ms)})
    end
  end
  number = number + n
end

local head = due_first and redis.call("ZRANGE", key.delayed, 0, 0, "WITHSCORES")
if #bodies > 0 then
  redis.call("HSET", key.body, unpack(bodies))
  redis.call("HSET", key.state, unpack(states))
  add_to(key.count, "enqueued", created)
end
if duplicates > 0 then add_to(key.count, "deduplicated", duplicates) end
if #ready > 0 then redis.call("ZADD", key.ready, unpack(ready)) end
if #delayed > 0 then redis.call("ZADD", key.delayed, unpack(delayed)) end
for _, s in ipairs(sets) do redis.call("SET", s[1], s[2], "PX", ms_text(s[3])) end
if #ready > 0 then
  redis.call("SPUBLISH", key.wake, "ready")
elseif due_first and (not head[2] or due_first < tonumber(head[2])) then
  redis.call("SPUBLISH", key.wake, string.format("due %.0f", due_first))
end
return reply
