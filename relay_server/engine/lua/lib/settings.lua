-- settings: the queue's settings with their defaults.

local MAX_EXPIRATIONS = 3

local function read_settings(conf_key)
  local v = redis.call("HMGET", conf_key, "priority_step", "max_expirations", "max_jobs", "paused", "rate", "burst", "clock",
    "outage_from", "outage_to")
  return {step = priority_step(v[1]), max_expirations = tonumber(v[2]) or MAX_EXPIRATIONS, max_jobs = tonumber(v[3]) or 0,
    paused = v[4] == "1", rate = tonumber(v[5]) or 0, burst = tonumber(v[6]) or 0, clock = tonumber(v[7]),
    outage_from = tonumber(v[8]), outage_to = tonumber(v[9])}
end
