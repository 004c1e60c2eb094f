-- settings: the queue's settings with their defaults, which also stand in for what is no such setting.
--
-- @use order

local MAX_EXPIRATIONS, CLOCK_MAX = 3, 2^53
-- Those of limits.py.
local RATE_MAX, BURST_MAX, MAX_JOBS_MAX, MAX_EXPIRATIONS_MAX = 1000000, 1000000, 1000000000, 1000

local function setting(text, low, high, default)
  local n = tonumber(text)
  return n and n >= low and n <= high and n or default
end

local function read_settings(conf_key)
  local v = redis.call("HMGET", conf_key, "priority_step", "max_expirations", "max_jobs", "paused", "rate", "burst", "clock",
    "outage_from", "outage_to")
  local outage_from, outage_to = setting(v[8], -CLOCK_MAX, CLOCK_MAX), setting(v[9], -CLOCK_MAX, CLOCK_MAX)
  if not outage_from then outage_to = nil end
  return {step = setting(v[1], 0, PRIORITY_STEP_MS_MAX, PRIORITY_STEP_MS), max_expirations = setting(v[2], 0, MAX_EXPIRATIONS_MAX, MAX_EXPIRATIONS),
    max_jobs = setting(v[3], 0, MAX_JOBS_MAX, 0), paused = v[4] == "1", rate = setting(v[5], 0, RATE_MAX, 0),
    burst = setting(v[6], 0, BURST_MAX, 0), clock = setting(v[7], -CLOCK_MAX, CLOCK_MAX), outage_from = outage_from, outage_to = outage_to}
end
