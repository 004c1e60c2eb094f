-- indexes: questions to the indexes of a queue.

-- The least score of an index; nil when it is empty.
local function first_score(index_key)
  return tonumber(redis.call("ZRANGE", index_key, 0, 0, "WITHSCORES")[2])
end
