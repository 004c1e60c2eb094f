-- recall: the answer to a request of an enqueue is kept, and given again when the request is repeated.
--
-- An answer is {n = how many jobs}, then for each job that was not simply created: its number in the request, a word,
-- the id of the job that holds its key.

local function say(rows, number, word, holder)
  local n = #rows
  rows[n + 1], rows[n + 2], rows[n + 3] = number, word, holder
end

-- nil when it cannot be read. Then the ids of the jobs show which of them are there.
local function read_answer(stored)
  if not stored then return nil end
  local whole, answer = pcall(cmsgpack.unpack, stored)
  if not whole or type(answer) ~= "table" or type(answer.n) ~= "number" then return nil end
  local words = {DUPLICATE = true, MISMATCH = true, FULL = true}
  for i = 1, #answer, 3 do
    local number, word, holder = unpack(answer, i, i + 2)
    local is_job = type(number) == "number" and number >= 0 and number < answer.n
    if not is_job or not words[word] or type(holder) ~= "string" then return nil end
  end
  return answer
end

local function say_again(reply, answer, first, n)
  if answer.n ~= n then
    for i = 0, n - 1 do say(reply, tostring(first + i), "REUSED", "") end
    return
  end
  for i = 1, #answer, 3 do say(reply, tostring(first + answer[i]), answer[i + 1], answer[i + 2]) end
end
