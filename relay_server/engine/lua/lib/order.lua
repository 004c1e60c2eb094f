-- order: where a job that becomes ready stands. Priority is a head start in time, so nothing starves.

local PRIORITY_STEP_MS, PRIORITY_STEP_MS_MAX = 3600000, 604800000

local function order_score(ready_since, priority, step)
  return ready_since - priority * step
end
