-- walk: a bounded stretch of an index from a place on, and which of its jobs a filter wants.
--
-- @use record place

-- Up to `most` members behind (score, id), as id, score, id, score, …, and whether the index ends there. A walk down
-- ends before scores under `oldest`.
local function stretch(index, direction, score, id, most, oldest)
  local down = direction == "down"
  local at = rank_behind(index, down, score, id)
  local page = redis.call(down and "ZREVRANGE" or "ZRANGE", index, at, at + most - 1, "WITHSCORES")
  local ended = #page < 2 * most
  while oldest ~= "" and #page > 0 and tonumber(page[#page]) < tonumber(oldest) do
    ended = true
    page[#page], page[#page - 1] = nil, nil
  end
  return page, ended
end

-- The records of a stretch as stored; false for an id without one.
local function raw_records(state_key, page)
  local ids = {}
  for i = 1, #page, 2 do ids[#ids + 1] = page[i] end
  return #ids > 0 and redis.call("HMGET", state_key, unpack(ids)) or {}
end

-- Whether the filter wants this record, and what `glance` saw of it. An unreadable record is never wanted.
local function wanted(raw, filter)
  local seen = raw and glance(raw)
  if not seen then return false end
  if filter.type ~= "" and seen.type ~= filter.type then return false end
  if filter.error_type ~= "" and seen.error_type ~= filter.error_type then return false end
  return true, seen
end
