-- now: times. The store's clock in integer milliseconds; a test may inject its own.

-- A whole number of ms, in full.
local function ms_text(ms)
  return string.format("%.0f", ms)
end

-- A score as a whole number of ms; 0 for nil, and for a score that no script of Relay writes.
local function time_text(score)
  local n = tonumber(score) or 0
  return ms_text(n >= -2^53 and n <= 2^53 and n or 0)
end

local function now_ms(injected)
  if injected ~= "" then return tonumber(injected) end
  local t = redis.call("TIME")
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
