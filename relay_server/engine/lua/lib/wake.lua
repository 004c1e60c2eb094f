-- wake: all that is ever published on the channel `wake`, for servers that wait for jobs of the queue, or hold its jobs:
-- "ready" (jobs may be claimed), "due MS" (a job is due before all others), "cancel IDS" (of jobs in flight).
-- engine/wakeups.py reads it.

local READY_MESSAGE = "ready"

local function wake_ready(key)
  redis.call("SPUBLISH", key.wake, READY_MESSAGE)
end

local function wake_due(key, due)
  redis.call("SPUBLISH", key.wake, string.format("due %.0f", due))
end

local function wake_cancelled(key, ids)
  redis.call("SPUBLISH", key.wake, "cancel " .. table.concat(ids))
end
