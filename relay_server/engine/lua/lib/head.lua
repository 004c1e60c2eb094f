-- head: the jobs at the head of the queue that one claim may have.
--
-- @use record aside fail

local LOOKED_AT_MAX, PAGE = 500, 100

-- At most `want` jobs, whose bodies have at most `bytes_max` bytes together. The first job is taken whatever its size.
-- On the way it sets aside jobs that cannot be read and buries those past their expires_at. `more` says that other jobs
-- may be ready.
local function read_head(w, key, now, want, bytes_max)
  local head = {ids = {}, records = {}}
  local n, bytes, looked_at, full = 0, 0, 0, false
  while n < want and not full and looked_at < LOOKED_AT_MAX do
    local last = math.min(looked_at + math.max(want - n, looked_at > 0 and PAGE or 1), LOOKED_AT_MAX) - 1
    local page = redis.call("ZRANGE", key.ready, looked_at, last)
    if #page == 0 then break end
    looked_at = looked_at + #page
    local records = read_records(key.state, page)
    for _, id in ipairs(page) do
      local record = records[id]
      if not record then
        set_aside(w, key, id, "ready")
      elseif record.expires > 0 and record.expires <= now then
        bury(w, id, "ready", record, now, EXPIRED)
      elseif n >= want or (n > 0 and bytes + record.body_len > bytes_max) then
        full = true
        break
      else
        n, bytes = n + 1, bytes + record.body_len
        head.ids[n], head.records[n] = id, record
      end
    end
  end
  head.more = full or looked_at >= LOOKED_AT_MAX
  return head
end
