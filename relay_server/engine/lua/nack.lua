#!lua flags=allow-oom
-- nack: inflight -> delayed | ready | dead, as its worker asks; -> (gone) when it was cancelled. Only the current lease
-- can nack a job.
--
-- A nack that is repeated with the token it settled gets the same answer again. When many jobs keep long errors, only
-- the first jobs are done and answered, and the caller asks again for the rest.
--
-- @key inflight zset
-- @key ready    zset
-- @key delayed  zset
-- @key dead     zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key conf     hash
-- @key count    hash
-- @key unreadable hash?
-- @key wake     channel
-- @arg now
-- @arg seed
-- @each id token kind after error_type blob
--   kind: RETRY | DEAD | RELEASE | THROTTLED; after: ms, or empty for the default
-- @number now? seed after?
-- @returns for each job that was done: OK | GONE | LEASE_LOST | CANCELLED, state it went to (number), delay in ms
-- @row word state delay_ms
-- @use now batch settings writes jobs aside lease fail nack_kinds

local t = now_ms(now)
math.randomseed(tonumber(seed))
local step = read_settings(key.conf).step
local records, unreadable = named_records(key)
local w, reply, written = new_writes(), {}, 0
set_aside_named(w, key, unreadable, "inflight")
for id, token, kind, after, error_type, blob in each() do
  local record = records[id]
  local word, state, delay = lease_word(record, token), 0, 0
  if word == "OK" then
    written = written + failure_cost(key, id, blob)
    if #reply > 0 and written > FAILURES_WRITTEN_BYTES_MAX then break end
    if record.cancelled == 1 then
      word = "CANCELLED"
      erase(w, id, "inflight")
      count(w, "cancelled", 1)
      records[id] = nil
    else
      state, delay = nack(w, key, id, record, kind, after, error_type, blob, t, step)
    end
  elseif word == "REPEAT" then
    word = "OK"
    state, delay = settled_answer(record)
    if not state then word, state, delay = "LEASE_LOST", 0, 0 end
  elseif word == "LEASE_LOST" then
    count(w, "stale", 1)
  end
  table.insert(reply, word)
  table.insert(reply, tostring(state))
  table.insert(reply, ms_text(delay))
end
apply(key, w)
return reply
