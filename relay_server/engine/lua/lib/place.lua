-- place: how far a walk along an index came: the score and id that it passed last. That member may be gone, and a
-- million may have its score, so its rank is searched for in some twenty steps.

-- Byte by byte, as Redis orders members of one score. Lua's own < would follow the server's locale.
local function sorts_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- How many members stand up to and with (score, id), in the direction of the walk; without an id, before the score.
local function rank_behind(index, down, score, id)
  if score == "" then return 0 end
  local passed
  if down then
    passed = redis.call("ZCOUNT", index, "(" .. score, "+inf")
  else
    passed = redis.call("ZCOUNT", index, "-inf", "(" .. score)
  end
  if id == "" then return passed end
  local low, high = passed, passed + redis.call("ZCOUNT", index, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local member = redis.call(down and "ZREVRANGE" or "ZRANGE", index, middle, middle)[1]
    local is_passed = member == id
    if not is_passed then
      if down then is_passed = sorts_before(id, member) else is_passed = sorts_before(member, id) end
    end
    if is_passed then low = middle + 1 else high = middle end
  end
  return low
end
