-- now: the store's clock in integer milliseconds; a test may inject its own.

local function now_ms(injected)
  if injected ~= "" then return tonumber(injected) end
  local t = redis.call("TIME")
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
