-- promote_due: delayed jobs that are due become ready, in the order of their due times; jobs past their expires_at
-- become dead letters.
--
-- @use order record writes jobs wake aside fail

-- Takes up to `limit` jobs. Returns how many it took, and how many of them it buried.
local function promote_due(w, key, now, settings, limit)
  local due = redis.call("ZRANGEBYSCORE", key.delayed, "-inf", now, "WITHSCORES", "LIMIT", 0, limit)
  local ids = {}
  for i = 1, #due, 2 do table.insert(ids, due[i]) end
  local records = read_records(key.state, ids)
  local buried = 0
  for i, id in ipairs(ids) do
    local record = records[id]
    if not record then
      set_aside(w, key, id, "delayed")
    elseif record.expires > 0 and record.expires <= now then
      bury(w, id, "delayed", record, now, EXPIRED)
      buried = buried + 1
    else
      record.score = order_score(math.max(0, tonumber(due[2 * i])), record.priority, settings.step)
      leave(w, id, "delayed")
      to_ready(w, id, record.score)
      save(w, id, record)
      count(w, "promoted", 1)
    end
  end
  return #ids, buried
end
