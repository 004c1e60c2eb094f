-- next_at: when a claim that got too little is worth another.
--
-- @use indexes bucket

-- The first job that is due, lease that ends, or token of the bucket (nil: there is no rate) when jobs wait; 0: none of these.
local function next_at(key, now, settings, tokens)
  local at = math.min(first_score(key.delayed) or math.huge, first_score(key.inflight) or math.huge)
  if tokens and tokens < 1 and redis.call("ZCARD", key.ready) > 0 then
    at = math.min(at, bucket_next(tokens, settings, now))
  end
  return at < math.huge and at or 0
end
