-- findings: what an audit checks. A finding is three values of the reply: an invariant, an id or "", and what is wrong.
--
-- @use indexes

local function find(findings, invariant, id, detail)
  local n = #findings
  findings[n + 1], findings[n + 2], findings[n + 3] = invariant, id, detail
end

-- The job is in `index` with this score and has a body of `size` bytes.
local function check_record(findings, id, record, index, score, size)
  local function wrong(detail) find(findings, "I2", id, detail) end
  if size ~= record.body_len then wrong("body of " .. size .. " bytes, record says " .. record.body_len) end
  if (index == "inflight") ~= (record.token ~= "") then wrong("lease token and index disagree") end
  if index == "ready" and score ~= record.score then wrong("order score and index disagree") end
  if (index == "dead") ~= (record.reason ~= 0) then wrong("dead reason and index disagree") end
  if record.attempt > record.max_attempts then find(findings, "I7", id, "more attempts than allowed") end
end

-- There are as many bodies as records, and as jobs in the indexes and set aside.
local function check_sizes(findings, key)
  local indexed = redis.call("HLEN", key.unreadable)
  for _, index in ipairs(INDEXES) do indexed = indexed + redis.call("ZCARD", key[index]) end
  local bodies, states = redis.call("HLEN", key.body), redis.call("HLEN", key.state)
  if indexed ~= bodies then
    find(findings, "I1", "", "the indexes hold " .. indexed .. " jobs, body holds " .. bodies)
  end
  if states ~= bodies then find(findings, "I2", "", "state holds " .. states .. " records, body holds " .. bodies) end
end

-- The index of each id and its score there, as two tables. An id in two indexes is a finding.
local function places_of(findings, key, ids)
  local where, score = {}, {}
  for _, index in ipairs(INDEXES) do
    for i, s in ipairs(scores_of(key[index], ids)) do
      if s and where[i] then find(findings, "I1", ids[i], "in " .. where[i] .. " and in " .. index) end
      if s then where[i], score[i] = index, tonumber(s) end
    end
  end
  return where, score
end
