-- order: where a job that becomes ready stands. Priority is a head start in time, so no job starves.

local function order_score(ready_since, priority, step)
  return ready_since - priority * step
end
