-- now: times. The store's clock in integer milliseconds; a test may inject its own.

-- An index's score as a whole number of ms; 0 for none, and for what no script of Relay writes.
local function time_text(score)
  local n = tonumber(score) or 0
  return string.format("%.0f", n >= -2^53 and n <= 2^53 and n or 0)
end

local function now_ms(injected)
  if injected ~= "" then return tonumber(injected) end
  local t = redis.call("TIME")
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
