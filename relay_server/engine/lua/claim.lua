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
-- @arg server        who claims; its last claim is remembered, so that a lost reply can be handed back
-- @arg nonce
-- @arg bytes_max     bytes of bodies in one reply, at least one job
-- @each token lease_ms n worker
-- @number now? seed bytes_max lease_ms+ n
-- @returns OK | PAUSED | LIMITED, now, more (1: call again at once), when to claim again (0: nothing is due),
--   then for each job: id, packed group number (H), attempt (H), max_attempts (H), epoch (d), waited ms (d); body
-- @reply word now more next_at
-- @row id lease body
-- @use now settings writes outage expire bucket deal head last_claim next_at promote_due

local CATCH_UP_MAX = 100 -- leases that are over, and jobs that are due, which one claim moves first
assert(#nonce == 16, "a nonce has 16 bytes")
local t = now_ms(now)
math.randomseed(tonumber(seed))
local settings = read_settings(key.conf)
if settings.paused then return {"PAUSED", ms_text(t), "0", "0"} end

local groups, want = read_groups()
local tokens = settings.rate > 0 and bucket_level(key.conf, settings, t) or nil
if tokens and tokens < 1 then
  save_bucket(key.conf, tokens, t)
  return {"LIMITED", ms_text(t), "0", ms_text(bucket_next(tokens, settings, t))}
end
if tokens then want = math.min(want, math.floor(tokens)) end

local w = new_writes()
local outage = find_outage(key, settings, t)
local leases = reap_expired(w, key, t, settings, CATCH_UP_MAX, outage)
local due = promote_due(w, key, t, settings, CATCH_UP_MAX)
if outage and outage.found then note_outage(key, outage) end
if leases + due > 0 then
  apply(key, w)
  w = new_writes()
end

local head = read_head(w, key, t, want, tonumber(bytes_max))
local dealt, rows = deal(w, key, t, settings.step, groups, head)
count(w, "claimed", dealt)
apply(key, w)
if tokens then
  tokens = tokens - dealt
  save_bucket(key.conf, tokens, t)
end
if dealt > 0 then
  remember_claim(key, server, nonce, groups, t)
  -- The reaper notes the clock once it sees leases. Until then nobody would notice a step back or an outage.
  if not settings.clock or t - settings.clock > NOTED_MS then redis.call("HSET", key.conf, "clock", ms_text(t)) end
elseif redis.call("HEXISTS", key.claims, server) == 1 then
  redis.call("HDEL", key.claims, server)
end

local more = dealt < want and head.more and "1" or "0"
local look_at = (dealt < want or tokens) and next_at(key, t, settings, tokens) or 0
local reply = {"OK", ms_text(t), more, ms_text(look_at)}
local n = #reply
for i = 1, #rows do reply[n + i] = rows[i] end
return reply
