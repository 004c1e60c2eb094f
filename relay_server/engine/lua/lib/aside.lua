-- aside: a job that cannot be read leaves its index for `unreadable`, where no script meets it again, and waits for an
-- operator.
--
-- Its record, body and errors stay where they are. A missing one is entered as empty, so that the sizes still add up.
--
-- @use writes jobs

-- `why` is nil when the record is the reason.
local function set_aside(w, key, id, from, why)
  if not w.HSET.unreadable then -- checked here, because few calls need it
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

-- Those of the ids that are in `from`, each once.
local function set_aside_named(w, key, ids, from)
  local done = {}
  for _, id in ipairs(ids or {}) do
    if not done[id] and redis.call("ZSCORE", key[from], id) then set_aside(w, key, id, from) end
    done[id] = true
  end
end

-- Removes a job that cannot be read; the caller takes it out of its index.
local function erase_aside(w, id)
  add(w.HDEL, "unreadable", id)
  delete(w, id)
end
