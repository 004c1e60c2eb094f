-- newcomers: the names of a call that are not known yet, and the arguments of ZADD that note all of them as used now.

local function newcomers(used_key, t, names)
  local scores, new, seen = {}, {}, {}
  for i, score in ipairs(redis.call("ZMSCORE", used_key, unpack(names))) do
    table.insert(scores, t)
    table.insert(scores, names[i])
    if not score and not seen[names[i]] then
      seen[names[i]] = true
      table.insert(new, names[i])
    end
  end
  return new, scores
end
