-- next_at: when it is worth claiming again.
--
-- @use indexes bucket

-- The first time at which a delayed job is due, a lease ends, or the bucket has a token for a waiting job; 0 without
-- any. `tokens` is nil when the queue has no rate.
local function next_at(key, now, settings, tokens)
  local at = math.min(first_score(key.delayed) or math.huge, first_score(key.inflight) or math.huge)
  if tokens and tokens < 1 and redis.call("ZCARD", key.ready) > 0 then
    at = math.min(at, bucket_next(tokens, settings, now))
  end
  return at < math.huge and at or 0
end
