-- deal: the sessions of one claim, and the jobs that each of them gets.
--
-- @use record writes jobs aside

-- Sessions as the call names them, and how many jobs they want together.
local function read_groups()
  local groups, want = {}, 0
  for token, lease_ms, n, worker in each() do
    assert(#token == 16, "a token has 16 bytes")
    local size = math.floor(tonumber(n))
    local lease = math.floor(tonumber(lease_ms))
    groups[#groups + 1] = {token = token, lease = lease, n = size, worker = short(worker), ids = {}}
    want = want + size
  end
  return groups, want
end

-- The next session with room, after the one that had the last turn.
local function next_turn(groups, turn)
  for _ = 1, #groups do
    turn = turn % #groups + 1
    if #groups[turn].ids < groups[turn].n then return turn end
  end
end

-- ready -> inflight: the lease of a session on a job.
local function lease_to(w, id, record, group, now)
  group.ids[#group.ids + 1] = id
  record.attempt = math.min(record.attempt + 1, 65535)
  record.epoch = math.max(record.epoch + 1, now)
  record.claimed, record.extended, record.lease = now, now, group.lease
  record.token, record.worker, record.progress, record.note = group.token, group.worker, 0, ""
  leave(w, id, "ready")
  enter(w, id, "inflight", now + group.lease)
  save(w, id, record)
end

-- Deals the jobs to the sessions in turn. Returns how many were dealt, and the rows of the reply.
local function deal(w, key, now, step, groups, head)
  local rows, dealt, turn = {}, 0, 0
  local bodies = #head.ids > 0 and redis.call("HMGET", key.body, unpack(head.ids)) or {}
  for i, id in ipairs(head.ids) do
    local record = head.records[i]
    if not bodies[i] then
      set_aside(w, key, id, "ready")
    else
      turn = next_turn(groups, turn)
      lease_to(w, id, record, groups[turn], now)
      local waited = math.max(0, now - (record.score + record.priority * step))
      local n = 3 * dealt
      rows[n + 1] = id
      rows[n + 2] = struct.pack("<HHHdd", turn - 1, record.attempt, record.max_attempts, record.epoch, waited)
      rows[n + 3] = bodies[i]
      dealt = dealt + 1
    end
  end
  return dealt, rows
end
