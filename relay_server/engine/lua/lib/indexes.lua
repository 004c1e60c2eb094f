-- indexes: the index of each state, in the order of the contract's numbers, and questions to them.

local INDEXES = {"ready", "delayed", "inflight", "dead"}

-- The least score of an index; nil when it is empty.
local function first_score(index_key)
  return tonumber(redis.call("ZRANGE", index_key, 0, 0, "WITHSCORES")[2])
end

-- The score of each id, or false; an empty table when the index is empty.
local function scores_of(index_key, ids)
  return redis.call("ZCARD", index_key) > 0 and redis.call("ZMSCORE", index_key, unpack(ids)) or {}
end

local function holds_jobs(key)
  for _, index in ipairs(INDEXES) do
    if redis.call("ZCARD", key[index]) > 0 then return true end
  end
  return redis.call("HLEN", key.unreadable) > 0
end
