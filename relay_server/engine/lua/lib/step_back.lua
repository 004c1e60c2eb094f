-- step_back: after the store's clock goes back, old deadlines are too far ahead, so leases would last too long. A scan
-- over all leases, some hundred a call, cuts each deadline to now plus its lease.
--
-- @use record

local STEP_BACK_MS, SCAN_COUNT = 5000, 200

local function has_stepped(settings, now)
  return settings.clock and now < settings.clock - STEP_BACK_MS
end

-- Where the scan goes on; nil when none is under way. A cursor that makes no sense starts the scan again.
local function scan_cursor(key, stepped)
  local cursor = redis.call("HGET", key.conf, "clock_scan")
  if stepped or (cursor and not (string.match(cursor, "^%d+$") and #cursor < 19)) then return "0" end
  return cursor or nil
end

-- Reads some hundred leases. Returns the next cursor, and the arguments of ZADD that cut those that are too long.
local function long_leases(key, cursor, now)
  local page = redis.call("ZSCAN", key.inflight, cursor, "COUNT", SCAN_COUNT)
  local ids, deadline, cut = {}, {}, {}
  for i = 1, #page[2], 2 do
    table.insert(ids, page[2][i])
    deadline[page[2][i]] = tonumber(page[2][i + 1])
  end
  for id, record in pairs(read_records(key.state, ids)) do
    if deadline[id] > now + record.lease then
      table.insert(cut, now + record.lease)
      table.insert(cut, id)
    end
  end
  return page[1], cut
end
