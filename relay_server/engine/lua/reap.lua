#!lua flags=allow-oom
-- reap: inflight -> delayed | ready | dead | (gone), for leases whose deadline has passed by the store's clock. A
-- cancelled job is gone.
--
-- After a step back of that clock it cuts deadlines that are too far away (lib/step_back). After an outage of all
-- servers it spares the leases that ended meanwhile (lib/outage). It forgets old last claims, a few a call
-- (lib/last_claim).
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
-- @key claims   hash
-- @key wake     channel
-- @arg now
-- @arg seed
-- @arg limit
-- @number now? seed limit
-- @many
-- @returns now, how many leases were taken (ended, spared or set aside), how many of their jobs were buried, more (1:
--   call again at once), when to look again: at the next deadline, and within 5 s while there are leases, so that an
--   outage shows; 0 without any
-- @reply now taken buried more next_at
-- @use now indexes settings writes outage expire last_claim step_back

local t = now_ms(now)
math.randomseed(tonumber(seed))
local settings = read_settings(key.conf)
local stepped = has_stepped(settings, t)
local cursor = scan_cursor(key, stepped)
local next_cursor, cut = nil, {}
-- A call for many queues has a limit of 1 and leaves the scan to the next call for this queue alone.
if cursor and tonumber(limit) > 1 then next_cursor, cut = long_leases(key, cursor, t) end

local w = new_writes()
local outage = not stepped and find_outage(key, settings, t)
local taken, buried, all = reap_expired(w, key, t, settings, tonumber(limit), outage)
if #cut > 0 then redis.call("ZADD", key.inflight, "XX", unpack(cut)) end
if stepped then count(w, "clock_steps", 1) end
apply(key, w)
forget_claims(key, t)
if outage and outage.found then note_outage(key, outage) end
if stepped or (outage and all and t > outage.to + GRACE_MS) then
  redis.call("HDEL", key.conf, "outage_from", "outage_to")
end
if next_cursor == "0" then
  redis.call("HDEL", key.conf, "clock_scan")
elseif cursor then
  redis.call("HSET", key.conf, "clock_scan", next_cursor or cursor)
end
local first = first_score(key.inflight)
if first or stepped then redis.call("HSET", key.conf, "clock", ms_text(t)) end
local more = (not all or (cursor and next_cursor ~= "0")) and "1" or "0"
local look_at = first and math.min(first, t + LOOK_MS) or 0
return {ms_text(t), tostring(taken), tostring(buried), more, time_text(look_at)}
