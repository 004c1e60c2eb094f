-- bucket: the token bucket of a queue, two fields of `conf`. When the clock went back, no tokens are added and the new
-- time is noted.
--
-- @use now settings

local function burst_of(settings)
  if settings.burst > 0 then return settings.burst end
  return math.max(settings.rate, 1)
end

-- How many tokens there are now.
local function bucket_level(conf_key, settings, now)
  local v = redis.call("HMGET", conf_key, "tokens", "tokens_at")
  local burst = burst_of(settings)
  local tokens, at = setting(v[1], 0, burst, burst), setting(v[2], 0, 2^53, now)
  local elapsed = math.max(now - at, 0)
  return math.min(burst, tokens + elapsed * settings.rate / 1000)
end

local function save_bucket(conf_key, tokens, now)
  redis.call("HSET", conf_key, "tokens", string.format("%.6f", tokens), "tokens_at", ms_text(now))
end

-- When there will be one token.
local function bucket_next(tokens, settings, now)
  return now + math.max(1, math.ceil((1 - tokens) * 1000 / settings.rate))
end
