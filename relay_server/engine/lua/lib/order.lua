-- order: where a job that becomes ready stands. Priority is a head start in time, so nothing starves.

local PRIORITY_STEP_MS = 3600000

local function priority_step(conf_value)
  return tonumber(conf_value) or PRIORITY_STEP_MS
end

local function order_score(ready_since, priority, step)
  return ready_since - priority * step
end
