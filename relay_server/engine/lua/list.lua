#!lua flags=no-writes,allow-oom
-- list: some rows of one state's index, in its order, with what a table row needs. Read-only.
--
-- It looks at a bounded stretch and reads a bounded number of bytes of bodies and failures; the next call gets the
-- rest.
--
-- @key index    zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @arg direction     up | down
-- @arg from_score    the place behind which to start; empty: at the end of the index
-- @arg from_id       empty: before the first of that score
-- @arg examine       how many to look at, at most
-- @arg limit         rows, at most
-- @arg oldest        a walk down ends before scores under it, or empty
-- @arg job_type      exact, or empty for any
-- @arg error_type    exact, or empty for any
-- @arg preview_max   bytes of a body that is read for its preview; larger ones are left out
-- @arg bytes_max     bytes of bodies and failures that are read in all; one row is always listed
-- @arg error_max     bytes of the newest failure's error that are given
-- @number examine+ limit+ oldest? preview_max bytes_max error_max
-- @returns size of the index, the place to go on behind: score and id (both empty at the end),
--   then for each job: id, score, record, body or empty, newest failure, shortened, or empty
-- @reply total at_score at_id
-- @row id score record body failures
-- @use failures walk

local page, ended = stretch(key.index, direction, from_score, from_id, tonumber(examine), oldest)
local raws = raw_records(key.state, page)
local filter = {type = job_type, error_type = error_type}
local preview, bytes, rows, last = tonumber(preview_max), 0, {}, 0
for i = 1, #page / 2 do
  local id, chosen, seen = page[2 * i - 1], wanted(raws[i], filter)
  if chosen then
    local body_bytes = seen.body_len <= preview and seen.body_len or 0
    local error_bytes = redis.call("HSTRLEN", key.error, id)
    local row_bytes = body_bytes + error_bytes
    if #rows >= 5 * tonumber(limit) or (#rows > 0 and bytes + row_bytes > tonumber(bytes_max)) then
      ended = false
      break
    end
    bytes = bytes + row_bytes
    local failures = error_bytes > 0 and redis.call("HGET", key.error, id) or ""
    local body = body_bytes > 0 and redis.call("HGET", key.body, id) or ""
    local row = {id, page[2 * i], raws[i], body, newest_failure(failures, tonumber(error_max))}
    for _, v in ipairs(row) do rows[#rows + 1] = v end
  end
  last = i
end
local place = ended and {"", ""} or {page[2 * last], page[2 * last - 1]}
local reply = {tostring(redis.call("ZCARD", key.index)), place[1], place[2]}
for _, v in ipairs(rows) do reply[#reply + 1] = v end
return reply
