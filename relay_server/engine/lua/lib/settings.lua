-- settings: the queue's settings. A missing or senseless one has its default. The bounds are those of
-- relay_server/limits.py.

local function setting(text, low, high, default)
  local n = tonumber(text)
  return n and n >= low and n <= high and n or default
end

local function step_setting(text)
  return setting(text, 0, 604800000, 3600000)
end

local function max_jobs_setting(text)
  return setting(text, 0, 1000000000, 0)
end

-- The two that an enqueue needs: the priority step, and how many jobs there may be (0: any number).
local function read_step_and_room(conf_key)
  local v = redis.call("HMGET", conf_key, "priority_step", "max_jobs")
  return step_setting(v[1]), max_jobs_setting(v[2])
end

local function read_settings(conf_key)
  local clock_max = 2^53
  local v = redis.call("HMGET", conf_key, "priority_step", "max_expirations", "max_jobs", "paused", "rate", "burst",
    "clock", "outage_from", "outage_to")
  local outage_from, outage_to = setting(v[8], -clock_max, clock_max), setting(v[9], -clock_max, clock_max)
  if not outage_from then outage_to = nil end
  return {
    step = step_setting(v[1]), max_expirations = setting(v[2], 1, 1000, 3), max_jobs = max_jobs_setting(v[3]),
    paused = v[4] == "1", rate = setting(v[5], 0, 1000000, 0), burst = setting(v[6], 0, 1000000, 0),
    clock = setting(v[7], -clock_max, clock_max), outage_from = outage_from, outage_to = outage_to,
  }
end
