-- jobs: a job's record is saved, or the job ends and nothing of it stays.
--
-- @use record writes

local function save(w, id, record)
  put(w, id, "state", encode(record))
end

-- The caller takes the job out of its index.
local function delete(w, id)
  if w.gone then
    w.gone[#w.gone + 1] = id
  else
    w.gone = {id} -- one list for the three
    for _, hash in ipairs({"body", "state", "error"}) do w.HDEL[hash] = w.gone end
  end
end

local function erase(w, id, from)
  leave(w, id, from)
  delete(w, id)
end
