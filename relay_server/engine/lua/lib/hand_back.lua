-- hand_back: a claimed job that no worker received goes back to its old place, and its attempt is not counted.
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
