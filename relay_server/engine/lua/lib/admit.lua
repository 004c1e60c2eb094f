-- admit: which jobs of an enqueue are created, and where they go.
--
-- @use settings order writes wake

-- The intake: what `admit` asks and notes for the jobs of one script. `remembered` is by the name of the key, so that
-- the second of two jobs with one idempotency key finds the first.
local function new_intake(key, now, ids)
  local step, max_jobs = read_step_and_room(key.conf)
  local alive, remembered = {}, {}
  for i, record in ipairs(redis.call("HMGET", key.state, unpack(ids))) do
    if record then alive[ids[i]] = true end
  end
  if #extra_keys > 0 then
    for i, value in ipairs(redis.call("MGET", unpack(extra_keys))) do remembered[extra_keys[i]] = value end
  end
  local room = max_jobs > 0 and max_jobs - redis.call("HLEN", key.body) or math.huge
  return {now = now, step = step, alive = alive, remembered = remembered, room = room, created = 0}
end

-- Returns the word for the job, and the id of another job that holds its key, or "".
local function admit(w, intake, id, plan, tail, body)
  if intake.alive[id] then return "CREATED", "" end -- a repeat: it is answered as the first call was
  local priority, kind, ms, key_number, window, at = struct.unpack("<bBdHd", plan)
  local name, content
  if key_number > 0 then
    assert(window >= 1 and window <= 2^53, "a window is a positive number of ms")
    name, content = extra_keys[key_number], string.sub(plan, at)
    local holder = intake.remembered[name]
    if holder and #holder == 16 + #content then -- any other value is not from Relay
      local word = string.sub(holder, 17) == content and "DUPLICATE" or "MISMATCH"
      if word == "DUPLICATE" then count(w, "deduplicated", 1) end
      return word, string.sub(holder, 1, 16)
    end
  end
  if intake.created >= intake.room then return "FULL", "" end
  local due = kind == 1 and intake.now + ms or ms
  if kind == 0 or due <= intake.now then due = intake.now end
  local score = order_score(due, priority, intake.step)
  if due > intake.now then to_delayed(w, id, due) else to_ready(w, id, score) end
  put(w, id, "body", body)
  put(w, id, "state", struct.pack("<d", score) .. tail)
  if content then
    intake.remembered[name] = id .. content
    keep(w, name, intake.remembered[name], window)
  end
  intake.alive[id] = true
  intake.created = intake.created + 1
  return "CREATED", ""
end
