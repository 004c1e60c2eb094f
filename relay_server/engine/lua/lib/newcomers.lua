-- newcomers: of names in a call, those that are not known; and what ZADD takes to note that all are in use now.

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
