-- waiting: a job becomes ready or delayed, and those who wait for jobs hear of it when the writes are applied.
--
-- @use indexes writes wake

-- `from` is the index that the job leaves; nil for a new one.
local function to_ready(w, id, from, score)
  if from then leave(w, id, from) end
  enter(w, id, "ready", score)
  w.at_last = wake_ready
end

-- Asked between what leaves and what enters.
local function find_first_due(key, w)
  local first = first_score(key.delayed)
  w.is_first = not first or w.due < first
end

local function wake_first_due(key, w)
  if w.is_first then wake_due(key, w.due) end
end

local function to_delayed(w, id, from, due)
  if from then leave(w, id, from) end
  enter(w, id, "delayed", due)
  if not w.due or due < w.due then w.due = due end
  w.before_enter = find_first_due
  w.at_last = w.at_last or wake_first_due
end
