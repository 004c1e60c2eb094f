-- session: an entry begins with a heading, of which the indexes of sessions are made. engine/roster.py is its twin.
--
-- @use writes

local function read_heading(entry)
  local server, owner, worker, slots, n, at = struct.unpack("<Bc0Bc0Bc0HB", entry)
  local head = {server = server, owner = owner, worker = worker, slots = slots, queues = {}}
  for i = 1, n do
    head.queues[i], at = struct.unpack("<Bc0", entry, at)
  end
  head.raw = string.sub(entry, 1, at - 1)
  return head
end

-- nil when there is no entry, or it cannot be read.
local function heading(entry)
  local ok, head = pcall(read_heading, entry or "")
  return ok and head or nil
end

-- Calls `note(w, member, index)` for each member of an index: one in `name`, and in `crew` one for each of its queues.
local function each_listing(w, id, head, note)
  note(w, head.worker .. "\0" .. id .. string.char(#id), "name")
  for _, queue in ipairs(head.slots > 0 and head.queues or {}) do
    note(w, queue .. "\0" .. head.slots .. "\0" .. id, "crew")
  end
end

local function enter_session(w, id, head)
  each_listing(w, id, head, function(w, member, index) enter(w, member, index, 0) end)
end

local function leave_session(w, id, head)
  each_listing(w, id, head, leave)
end

local function remove_session(w, id, head)
  add(w.HDEL, "entry", id)
  leave(w, id, "seen")
  if head then leave_session(w, id, head) end
end
