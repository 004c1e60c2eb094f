-- hand_back: a job that was claimed but never reached a worker returns to its old place, the attempt returned.
--
-- @use writes waiting

local function hand_back(w, id, record)
  if record.cancelled == 1 then
    erase(w, id, "inflight")
    count(w, "cancelled", 1)
    return
  end
  record.attempt = math.max(record.attempt - 1, 0)
  record.token = ""
  to_ready(w, id, "inflight", record.score)
  save(w, id, record)
  count(w, "handed_back", 1)
end
