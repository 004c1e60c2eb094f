-- admit: which jobs of an enqueue are created, and where they go.
--
-- @use settings order writes wake

-- What `admit` asks and notes. `remembered` is by the name of the key, so that the second of two jobs with one
-- idempotency key finds the first.
local function open_door(key, now, ids)
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
local function admit(w, door, id, plan, tail, body)
  if door.alive[id] then return "CREATED", "" end -- a repeat: it is answered as the first call was
  local priority, kind, ms, key_number, window, at = struct.unpack("<bBdHd", plan)
  local name, content
  if key_number > 0 then
    assert(window >= 1 and window <= 2^53, "a window is a positive number of ms")
    name, content = extra_keys[key_number], string.sub(plan, at)
    local holder = door.remembered[name]
    if holder and #holder == 16 + #content then -- any other value is not from Relay
      local word = string.sub(holder, 17) == content and "DUPLICATE" or "MISMATCH"
      if word == "DUPLICATE" then count(w, "deduplicated", 1) end
      return word, string.sub(holder, 1, 16)
    end
  end
  if door.created >= door.room then return "FULL", "" end
  local due = kind == 1 and door.now + ms or ms
  if kind == 0 or due <= door.now then due = door.now end
  local score = order_score(due, priority, door.step)
  if due > door.now then to_delayed(w, id, due) else to_ready(w, id, score) end
  put(w, id, "body", body)
  put(w, id, "state", struct.pack("<d", score) .. tail)
  if content then
    door.remembered[name] = id .. content
    keep(w, name, door.remembered[name], window)
  end
  door.alive[id] = true
  door.created = door.created + 1
  return "CREATED", ""
end
