-- aside: what cannot be read leaves its index and waits in `unreadable` for an operator, where nothing runs into it again.
--
-- Its record, body and errors stay where they are; which of them is missing is entered empty, so that sizes go on adding up.
--
-- @use writes jobs

-- `why` is given by who knows it.
local function set_aside(w, key, id, from, why)
  if not w.HSET.unreadable then -- here, because hardly any call needs it
    local kind = redis.call("TYPE", key.unreadable).ok
    assert(kind == "hash" or kind == "none", "RELAYTYPE unreadable is a " .. kind)
  end
  local record_len, body_len = redis.call("HSTRLEN", key.state, id), redis.call("HSTRLEN", key.body, id)
  if record_len == 0 then put(w, id, "state", "") end
  if body_len == 0 then put(w, id, "body", "") end
  if #id ~= 16 then
    why = "an id of " .. #id .. " bytes"
  elseif body_len == 0 then
    why = "no body"
  elseif record_len == 0 then
    why = "no record"
  end
  why = why or "a record of " .. record_len .. " bytes that cannot be read"
  local score = redis.call("ZSCORE", key[from], id) or "no score"
  leave(w, id, from)
  put(w, id, "unreadable", string.format("%s at %s: %s", from, score, why))
  count(w, "unreadable", 1)
end

-- Of ids that a caller named: those that stand in `from`.
local function set_aside_named(w, key, ids, from)
  local done = {}
  for _, id in ipairs(ids or {}) do
    if not done[id] and redis.call("ZSCORE", key[from], id) then set_aside(w, key, id, from) end
    done[id] = true
  end
end

-- The end of a job that was set aside, or would have been.
local function erase_aside(w, id)
  add(w.HDEL, "unreadable", id)
  delete(w, id)
end
