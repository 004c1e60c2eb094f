#!lua flags=no-writes,allow-oom
-- get_job: one whole job. Read-only.
--
-- @key ready    zset
-- @key delayed  zset
-- @key inflight zset
-- @key dead     zset
-- @key body     hash
-- @key state    hash
-- @key error    hash
-- @key unreadable hash
-- @arg id
-- @returns GONE | UNREADABLE, then where it was set aside from and why | OK, then its index, score, record, body,
--   failures or empty
-- @reply word why index score record body failures
-- @use indexes record

local aside = redis.call("HGET", key.unreadable, id)
if aside then return {"UNREADABLE", aside, "", "", "", "", ""} end
local record = redis.call("HGET", key.state, id)
if not record then return {"GONE", "", "", "", "", "", ""} end
for _, index in ipairs(INDEXES) do
  local score = redis.call("ZSCORE", key[index], id)
  if score then
    local whole, read = pcall(decode, record)
    if not whole or not read then
      return {"UNREADABLE", index .. ": a record of " .. #record .. " bytes that cannot be read", "", "", "", "", ""}
    end
    return {"OK", "", index, score, record, redis.call("HGET", key.body, id) or "", redis.call("HGET", key.error, id) or ""}
  end
end
return {"GONE", "", "", "", "", "", ""}
