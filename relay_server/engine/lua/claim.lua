#!lua flags=allow-oom
-- claim: ready -> inflight. First brings the queue up to date, then pops, leases and counts the attempt, in one step.
--
-- @key ready    zset
-- @key delayed  zset
-- @key inflight zset
-- @key dead     zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key conf     hash
-- @key count    hash
-- @key unreadable hash?
-- @key claims   hash
-- @key wake     channel
-- @arg now
-- @arg seed
-- @arg server        who claims; its last claim is remembered, so that a lost reply can be taken back
-- @arg nonce
-- @arg bytes_max     bytes of bodies in one reply, at least one job
-- @each token lease_ms n worker
-- @number now? seed bytes_max lease_ms+ n
-- @returns OK | PAUSED | LIMITED, now, more (1: call again at once), next_at (0: nothing is due),
--   expired, buried, promoted, then for each job: id, packed group number (H), attempt (H), max_attempts (H), epoch (d), waited ms (d); body
-- @use now settings record writes aside fail outage expire bucket last_claim promote_due

local UP_TO_DATE, EXPIRES_MAX = 100, 500
local t = now_ms(now)
math.randomseed(tonumber(seed))
local settings = read_settings(key.conf)
if settings.paused then return {"PAUSED", ms_text(t), "0", "0", "0", "0", "0"} end

local groups, want = {}, 0
assert(#nonce == 16, "a nonce has 16 bytes")
for token, lease_ms, n, worker in each() do
  assert(#token == 16, "a token has 16 bytes")
  table.insert(groups, {token = token, lease = math.floor(tonumber(lease_ms)), n = math.floor(tonumber(n)), worker = worker, ids = {}})
  want = want + math.floor(tonumber(n))
end
local tokens
if settings.rate > 0 then
  tokens = bucket_level(key.conf, settings, t)
  if tokens < 1 then
    save_bucket(key.conf, tokens, t)
    return {"LIMITED", ms_text(t), "0", ms_text(bucket_next(tokens, settings, t)), "0", "0", "0"}
  end
  want = math.min(want, math.floor(tokens))
end

local w = new_writes()
local outage = find_outage(key, settings, t)
local expired, buried = reap_expired(w, key, t, settings, UP_TO_DATE, outage)
local promoted, buried_due = promote_due(w, key, t, settings, UP_TO_DATE)
buried = buried + buried_due
if outage and outage.found then note_outage(key, outage) end
if expired + promoted > 0 then
  apply(key, w)
  w = new_writes()
end

-- Read the head of the queue until the window is full.
local chosen, bytes, examined, full = {}, 0, 0, false
while #chosen < want and not full and examined < EXPIRES_MAX do
  local last = math.min(examined + math.max(want - #chosen, examined > 0 and 100 or 1), EXPIRES_MAX) - 1
  local page = redis.call("ZRANGE", key.ready, examined, last)
  if #page == 0 then break end
  examined = examined + #page
  local records = read_records(key.state, page)
  for _, id in ipairs(page) do
    local record = records[id]
    if not record then
      set_aside(w, key, id, "ready")
    elseif record.expires > 0 and record.expires <= t then
      bury(w, id, "ready", record, t, EXPIRED)
      buried = buried + 1
    elseif #chosen >= want or (#chosen > 0 and bytes + record.body_len > tonumber(bytes_max)) then
      full = true
      break
    else
      bytes = bytes + record.body_len
      table.insert(chosen, {id = id, record = record})
    end
  end
end
local ids = {}
for i, c in ipairs(chosen) do ids[i] = c.id end
local bodies = #ids > 0 and redis.call("HMGET", key.body, unpack(ids)) or {}

local jobs, turn, given = {}, 0, 0
local function next_group()
  for _ = 1, #groups do
    turn = turn % #groups + 1
    if #groups[turn].ids < groups[turn].n then return turn, groups[turn] end
  end
end
for i, c in ipairs(chosen) do
  local r = c.record
  if not bodies[i] then
    set_aside(w, key, c.id, "ready")
  else
    local g, group = next_group()
    table.insert(group.ids, c.id)
    local waited = math.max(0, t - (r.score + r.priority * settings.step))
    r.attempt = math.min(r.attempt + 1, 65535)
    r.epoch = math.max(r.epoch + 1, t)
    r.claimed, r.renewed, r.lease = t, t, group.lease
    r.token, r.worker, r.progress, r.note = group.token, short(group.worker), 0, ""
    leave(w, c.id, "ready")
    enter(w, c.id, "inflight", t + group.lease)
    save(w, c.id, r)
    given = given + 1
    table.insert(jobs, c.id)
    table.insert(jobs, struct.pack("<HHHdd", g - 1, r.attempt, r.max_attempts, r.epoch, waited))
    table.insert(jobs, bodies[i])
  end
end
count(w, "claimed", given)
apply(key, w)
if tokens then save_bucket(key.conf, tokens - given, t) end

if given > 0 then
  remember_claim(key, server, nonce, groups, t)
  -- The reaper notes the clock when it sees leases; until it has, neither a step back nor an outage would show.
  if not settings.clock or t - settings.clock > NOTED_MS then redis.call("HSET", key.conf, "clock", ms_text(t)) end
elseif redis.call("HEXISTS", key.claims, server) == 1 then
  redis.call("HDEL", key.claims, server)
end

local next_at = 0
if given < want or tokens then
  for _, index in ipairs({"delayed", "inflight"}) do
    local head = redis.call("ZRANGE", key[index], 0, 0, "WITHSCORES")
    if head[2] and (next_at == 0 or tonumber(head[2]) < next_at) then next_at = tonumber(head[2]) end
  end
  if tokens and tokens - given < 1 and redis.call("ZCARD", key.ready) > 0 then
    local refill = bucket_next(tokens - given, settings, t)
    if next_at == 0 or refill < next_at then next_at = refill end
  end
end
local more = given < want and (examined >= EXPIRES_MAX or full) and "1" or "0"
local reply = {"OK", ms_text(t), more, ms_text(next_at), tostring(expired), tostring(buried), tostring(promoted)}
for _, v in ipairs(jobs) do table.insert(reply, v) end
return reply
