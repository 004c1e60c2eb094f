#!lua flags=no-writes,allow-oom
-- list: a page of one state's index, in its order, with what a table row needs. Read-only.
--
-- @key index    zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @arg direction     up | down
-- @arg from_score    where to start, inclusive, or empty
-- @arg skip          how many of that score were listed before
-- @arg limit
-- @arg preview_max   bytes of a body that is read for its preview; larger ones are left out. Negative: no bodies and no errors
-- @arg bytes_max     bytes of bodies in all
-- @number from_score? skip limit preview_max bytes_max
-- @returns size of the index, then for each job: id, score, record, body or empty, errors or empty
-- @use record

local down = direction == "down"
local args = {down and "ZREVRANGEBYSCORE" or "ZRANGEBYSCORE", key.index}
local from = from_score ~= "" and from_score or (down and "+inf" or "-inf")
local page = redis.call(args[1], args[2], from, down and "-inf" or "+inf", "WITHSCORES", "LIMIT", tonumber(skip), tonumber(limit))
local reply = {tostring(redis.call("ZCARD", key.index))}
if #page == 0 then return reply end
local ids = {}
for i = 1, #page, 2 do table.insert(ids, page[i]) end
local states = redis.call("HMGET", key.state, unpack(ids))
local errors = tonumber(preview_max) < 0 and {} or redis.call("HMGET", key.error, unpack(ids))
local bytes = 0
for i, id in ipairs(ids) do
  local body = ""
  local size = states[i] and decode(states[i]).body_len or 0
  if size <= tonumber(preview_max) and bytes + size <= tonumber(bytes_max) then
    body = redis.call("HGET", key.body, id) or ""
    bytes = bytes + size
  end
  table.insert(reply, id)
  table.insert(reply, page[2 * i])
  table.insert(reply, states[i] or "")
  table.insert(reply, body)
  table.insert(reply, errors[i] or "")
end
return reply
