#!lua flags=allow-oom
-- nack: inflight -> delayed | ready | dead, as its worker asks. Only the current lease can give a job back.
--
-- A nack repeated with the token that it settled is answered as the first time. When long errors are kept with many jobs, only the
-- first jobs are done and answered: the caller asks again for the rest.
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
-- @use now batch settings record writes aside lease failures fail

local GIVEN_BACK_MS, THROTTLED_MS_MIN = 1000, 100 -- without a least wait, claim and nack of one job could spin
local t = now_ms(now)
math.randomseed(tonumber(seed))
local settings = read_settings(key.conf)
local records, unreadable = named_records(key)
local w, reply, written = new_writes(), {}, 0
set_aside_named(w, key, unreadable, "inflight")

local function retry(id, record, after)
  if record.attempt >= record.max_attempts then
    settle(record, DEAD, 0)
    bury(w, id, "inflight", record, t, ATTEMPTS)
    return DEAD, 0
  end
  local delay = tonumber(after) or backoff_ms(record)
  settle(record, delay > 0 and DELAYED or READY, delay)
  count(w, "retried", 1)
  return back_off(w, id, "inflight", record, t, settings.step, delay), delay
end

local function give_back(id, record, kind, after)
  local delay = tonumber(after) or GIVEN_BACK_MS
  delay = math.max(delay, kind == "RELEASE" and GIVEN_BACK_MS or THROTTLED_MS_MIN)
  record.attempt = math.max(record.attempt - 1, 0)
  settle(record, DELAYED, delay)
  count(w, "released", 1)
  return back_off(w, id, "inflight", record, t, settings.step, delay), delay
end

for id, token, kind, after, error_type, blob in each() do
  local record = records[id]
  local word = lease_word(record, token)
  local state, delay = 0, 0
  if word == "OK" then
    written = written + failure_cost(key, id, blob)
    if #reply > 0 and written > FAILURES_WRITTEN_BYTES_MAX then break end
  end
  if word == "OK" and record.cancelled == 1 then
    word = "CANCELLED"
    erase(w, id, "inflight")
    count(w, "cancelled", 1)
    records[id] = nil
  elseif word == "OK" then
    if kind == "RETRY" or kind == "DEAD" then
      record.error_type = short(error_type)
      note_failure(w, key, id, record, t, kind == "DEAD" and REJECTED_FAILURE or RETRY_FAILURE, blob)
    end
    if kind == "RETRY" then
      state, delay = retry(id, record, after)
    elseif kind == "DEAD" then
      settle(record, DEAD, 0)
      bury(w, id, "inflight", record, t, REJECTED)
      state = DEAD
    else
      state, delay = give_back(id, record, kind, after)
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
