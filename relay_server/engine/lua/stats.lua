#!lua flags=no-writes,allow-oom
-- stats: a queue at one moment. Read-only.
--
-- @key ready    zset
-- @key delayed  zset
-- @key inflight zset
-- @key dead     zset
-- @key state    hash
-- @key conf     hash
-- @key count    hash
-- @key unreadable hash
-- @arg now
-- @number now?
-- @many
-- @returns now, ready, delayed, inflight, dead, unreadable, age of the head of the queue in ms,
--   paused (1 or 0), rate, burst, priority step, max_jobs, max_expirations, then name and value of each counter
-- @reply now ready delayed inflight dead unreadable oldest_ready_ms paused rate burst priority_step max_jobs max_expirations
-- @row name value
-- @use now indexes settings record

local t = now_ms(now)
local settings = read_settings(key.conf)
local age, head = 0, redis.call("ZRANGE", key.ready, 0, 0)
if head[1] then
  local record = read_records(key.state, head)[head[1]]
  if record then age = math.max(0, t - (record.score + record.priority * settings.step)) end
end
local reply = {ms_text(t)}
for _, index in ipairs(INDEXES) do
  table.insert(reply, tostring(redis.call("ZCARD", key[index])))
end
table.insert(reply, tostring(redis.call("HLEN", key.unreadable)))
table.insert(reply, ms_text(age))
table.insert(reply, settings.paused and "1" or "0")
for _, name in ipairs({"rate", "burst", "step", "max_jobs", "max_expirations"}) do
  table.insert(reply, string.format("%.17g", settings[name]))
end
for _, v in ipairs(redis.call("HGETALL", key.count)) do table.insert(reply, v) end
return reply
