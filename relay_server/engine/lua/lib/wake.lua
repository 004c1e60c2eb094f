-- wake: the messages on the channel `wake`, to servers that wait for jobs of the queue or hold some. There are three:
-- "ready" (jobs may be claimed), "due MS" (a job is due before all others) and "cancel IDS" (jobs in flight were
-- cancelled). engine/wakeups.py reads them.
--
-- @use indexes writes

local function publish(key, message)
  redis.call("SPUBLISH", key.wake, message)
end

local function wake_ready(key)
  publish(key, "ready")
end

local function wake_cancelled(key, ids)
  publish(key, "cancel " .. table.concat(ids))
end

-- The job becomes ready; the message goes out when the writes are applied.
local function to_ready(w, id, score)
  enter(w, id, "ready", score)
  w.publish, w.message = publish, "ready"
end

-- `apply` calls this between ZREM and ZADD, so `first` is the earliest job that stays.
local function note_first_due(key, w)
  local first = first_score(key.delayed)
  if not w.message and (not first or w.due < first) then w.message = string.format("due %.0f", w.due) end
end

local function to_delayed(w, id, due)
  enter(w, id, "delayed", due)
  if not w.due or due < w.due then w.due = due end
  w.publish, w.before_enter = publish, note_first_due
end
