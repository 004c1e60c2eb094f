-- hand_back: a job that was claimed but never reached a worker returns to its old place, the attempt returned.
--
-- @use writes jobs wake

local function hand_back(w, id, record)
  if record.cancelled == 1 then
    erase(w, id, "inflight")
    count(w, "cancelled", 1)
    return
  end
  record.attempt = math.max(record.attempt - 1, 0)
  record.token = ""
  leave(w, id, "inflight")
  to_ready(w, id, record.score)
  save(w, id, record)
  count(w, "handed_back", 1)
end
