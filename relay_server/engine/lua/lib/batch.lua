-- batch: the jobs that a call names.
--
-- @use record

local function named_ids()
  local ids = {}
  for id in each() do ids[#ids + 1] = id end
  return ids
end

-- Their records, by id; the ids whose record cannot be read, or nil; all ids.
local function named_records(key)
  local ids = named_ids()
  local records, unreadable = read_records(key.state, ids)
  return records, unreadable, ids
end
