#!lua flags=no-writes,allow-oom
-- audit: checks I1, I2, I7 and I13 on live data, a bounded page a call. Read-only.
--
-- Each call compares the sizes of all keys at one moment, and one page of `state`, `error` or `unreadable` with the
-- indexes.
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
-- @returns next cursor (0: done), how many were checked, bytes read of them, then for each finding: invariant, id or
--   empty, what is wrong
-- @reply cursor checked read_bytes
-- @row invariant id detail
-- @use record findings

local findings = {}
check_sizes(findings, key)
local page = redis.call("HSCAN", key[what], cursor, "COUNT", count)
local ids, raws, bytes = {}, {}, 0
for i = 1, #page[2], 2 do
  table.insert(ids, page[2][i])
  table.insert(raws, page[2][i + 1])
  bytes = bytes + #page[2][i + 1]
end
if what == "unreadable" then
  for i, id in ipairs(ids) do find(findings, "UNREADABLE", id, "set aside from " .. raws[i]) end
elseif #ids > 0 and what == "error" then
  for i, state in ipairs(redis.call("HMGET", key.state, unpack(ids))) do
    if not state then find(findings, "I13", ids[i], "errors are kept of a job that is gone") end
  end
elseif #ids > 0 then
  local where, score = places_of(findings, key, ids)
  for i, id in ipairs(ids) do
    local whole, record = pcall(decode, raws[i])
    local size = redis.call("HSTRLEN", key.body, id)
    local aside = redis.call("HEXISTS", key.unreadable, id) == 1
    if aside and where[i] then find(findings, "I1", id, "set aside and in " .. where[i]) end
    if not where[i] and not aside then find(findings, "I1", id, "in no index") end
    if not whole or not record then
      if not aside then find(findings, "I2", id, "a record of " .. #raws[i] .. " bytes that cannot be read") end
    elseif not aside then
      check_record(findings, id, record, where[i], score[i], size)
    end
  end
end
local reply = {page[1], tostring(#ids), tostring(bytes)}
for _, f in ipairs(findings) do table.insert(reply, f) end
return reply
