#!lua flags=no-writes,allow-oom
-- scan: which jobs of a bounded stretch of an index a filter wants. Read-only; bodies and failures stay where they are.
--
-- @key index    zset
-- @key body     hash
-- @key state    hash
-- @arg direction     up | down
-- @arg from_score    the place behind which to start; empty: at the end of the index
-- @arg from_id       empty: before the first of that score
-- @arg examine       how many to look at, at most
-- @arg oldest        a walk down ends before scores under it, or empty
-- @arg job_type      exact, or empty for any
-- @arg error_type    exact, or empty for any
-- @arg stamp_max_ms  leaves out jobs whose stamp is later, and those that were cancelled before; empty: leaves out none
-- @number examine+ oldest? stamp_max_ms?
-- @returns how many were looked at, the place to go on behind: score and id (both empty at the end), then the ids that
--   are wanted
-- @reply examined at_score at_id
-- @row id
-- @use stamp walk

local page, ended = stretch(key.index, direction, from_score, from_id, tonumber(examine), oldest)
local raws = raw_records(key.state, page)
local filter = {type = job_type, error_type = error_type}
local latest, bytes = tonumber(stamp_max_ms), 0
local ids, last = {}, 0
for i = 1, #page / 2 do
  local id = page[2 * i - 1]
  local chosen, seen = wanted(raws[i], filter)
  if chosen and latest then
    if bytes > 0 and bytes + seen.body_len > STAMP_BODIES_BYTES_MAX then
      ended = false
      break
    end
    bytes = bytes + seen.body_len
    chosen = not seen.cancelled and stamp_ms(redis.call("HGET", key.body, id) or "") <= latest
  end
  if chosen then ids[#ids + 1] = id end
  last = i
end
local reply = {tostring(last), ended and "" or page[2 * last], ended and "" or page[2 * last - 1]}
for _, id in ipairs(ids) do reply[#reply + 1] = id end
return reply
