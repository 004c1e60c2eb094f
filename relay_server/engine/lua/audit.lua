#!lua flags=no-writes,allow-oom
-- audit: checks I1, I2 and I13 on live data, a bounded page a call. Read-only.
--
-- Sizes are compared in every call, atomically; pages of `state` and `error` are compared with the indexes. What was set aside is one of them.
--
-- @key ready    zset
-- @key delayed  zset
-- @key inflight zset
-- @key dead     zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key unreadable hash
-- @arg what          state | error | unreadable
-- @arg cursor
-- @arg count         how many to check, about
-- @number count+
-- @returns next cursor (0: done), how many were checked, bytes read of them, then (invariant, id or empty, what is wrong) for each finding
-- @use indexes record

local reply, findings = {}, {}
local function find(invariant, id, detail)
  table.insert(findings, invariant)
  table.insert(findings, id)
  table.insert(findings, detail)
end
local function check(id, record, index, score, size)
  if size ~= record.body_len then find("I2", id, "body of " .. size .. " bytes, record says " .. record.body_len) end
  if (index == "inflight") ~= (record.token ~= "") then find("I2", id, "lease token and index disagree") end
  if index == "ready" and score ~= record.score then find("I2", id, "order score and index disagree") end
  if (index == "dead") ~= (record.reason ~= 0) then find("I2", id, "dead reason and index disagree") end
  if record.attempt > record.max_attempts then find("I7", id, "more attempts than allowed") end
end
local indexed = 0
for _, index in ipairs(INDEXES) do indexed = indexed + redis.call("ZCARD", key[index]) end
indexed = indexed + redis.call("HLEN", key.unreadable)
local bodies, states = redis.call("HLEN", key.body), redis.call("HLEN", key.state)
if indexed ~= bodies then find("I1", "", "the indexes hold " .. indexed .. " jobs, body holds " .. bodies) end
if states ~= bodies then find("I2", "", "state holds " .. states .. " records, body holds " .. bodies) end

local page = redis.call("HSCAN", key[what], cursor, "COUNT", count)
local ids, raws, bytes = {}, {}, 0
for i = 1, #page[2], 2 do
  table.insert(ids, page[2][i])
  table.insert(raws, page[2][i + 1])
  bytes = bytes + #page[2][i + 1]
end
if what == "unreadable" then
  for i, id in ipairs(ids) do find("UNREADABLE", id, "set aside from " .. raws[i]) end
elseif #ids > 0 and what == "error" then
  for i, state in ipairs(redis.call("HMGET", key.state, unpack(ids))) do
    if not state then find("I13", ids[i], "errors are kept of a job that is gone") end
  end
elseif #ids > 0 then
  local where, score = {}, {}
  for _, index in ipairs(INDEXES) do
    for i, s in ipairs(scores_of(key[index], ids)) do
      if s and where[i] then find("I1", ids[i], "in " .. where[i] .. " and in " .. index) end
      if s then where[i], score[i] = index, tonumber(s) end
    end
  end
  for i, id in ipairs(ids) do
    local whole, record = pcall(decode, raws[i])
    local size = redis.call("HSTRLEN", key.body, id)
    local aside = redis.call("HEXISTS", key.unreadable, id) == 1
    if aside and where[i] then find("I1", id, "set aside and in " .. where[i]) end
    if not where[i] and not aside then find("I1", id, "in no index") end
    if not whole or not record then
      if not aside then find("I2", id, "a record of " .. #raws[i] .. " bytes that cannot be read") end
    elseif not aside then
      check(id, record, where[i], score[i], size)
    end
  end
end
reply = {page[1], tostring(#ids), tostring(bytes)}
for _, f in ipairs(findings) do table.insert(reply, f) end
return reply
