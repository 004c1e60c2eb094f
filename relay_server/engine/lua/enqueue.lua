#!lua
-- enqueue: (nothing) -> ready | delayed. A request that was applied before gets the same answer again and changes
-- nothing.
--
-- @key body     hash
-- @key state    hash
-- @key ready    zset
-- @key delayed  zset
-- @key conf     hash
-- @key count    hash
-- @key wake     channel
-- @keys   `seen:` keys, one for each request that has one, then `key:` keys, one for each job that has one
-- @arg now
-- @arg horizon_ms    how long a request is remembered
-- @arg requests      packed for each request: how many jobs (H), has a seen key (B)
-- @each id plan tail body
--   plan: priority (b), 0 now | 1 delay | 2 run_at (B), ms (d), number of its `key:` key, or 0 (H), window ms (d),
--   content hash (16 bytes, with a key)
--   tail: the record without its score
-- @number now? horizon_ms+
-- @returns now, then for each job that was not simply created: its number, DUPLICATE | MISMATCH | FULL | REUSED,
--   the id of the job that holds its key
-- @reply now
-- @row number word holder
-- @use now writes admit recall

local t = now_ms(now)
local ids, plans, tails, bodies = {}, {}, {}, {}
for id, plan, tail, body in each() do
  local n = #ids + 1
  ids[n], plans[n], tails[n], bodies[n] = id, plan, tail, body
end
local w, reply = new_writes(), {ms_text(t)}
local intake = new_intake(key, t, ids)

local first, seen_keys, at = 0, 0, 1 -- `first`: how many jobs all earlier requests have together
while at <= #requests do
  local n, has_seen
  n, has_seen, at = struct.unpack("<HB", requests, at)
  seen_keys = seen_keys + has_seen
  local seen = extra_keys[has_seen * seen_keys]
  local answered = seen and read_answer(intake.remembered[seen])
  if answered then
    say_again(reply, answered, first, n)
  else
    local answer, accepted = {n = n}, false
    for i = first + 1, first + n do
      local word, holder = admit(w, intake, ids[i], plans[i], tails[i], bodies[i])
      if word ~= "CREATED" then
        say(reply, tostring(i - 1), word, holder)
        say(answer, i - 1 - first, word, holder)
      end
      accepted = accepted or word == "CREATED" or word == "DUPLICATE"
    end
    -- A request whose jobs were all refused changed nothing: a repeat is a new request, and may find room.
    if seen and accepted then
      intake.remembered[seen] = cmsgpack.pack(answer)
      keep(w, seen, intake.remembered[seen], tonumber(horizon_ms))
    end
  end
  first = first + n
end
count(w, "enqueued", intake.created)
apply(key, w)
return reply
