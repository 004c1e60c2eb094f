#!lua flags=allow-oom
-- promote: delayed -> ready, for jobs whose time has come; -> dead for those past expires_at.
--
-- @key delayed  zset
-- @key ready    zset
-- @key dead     zset
-- @key body     hash
-- @key state    hash
-- @key conf     hash
-- @key count    hash
-- @key unreadable hash?
-- @key wake     channel
-- @arg now
-- @arg limit
-- @number now? limit
-- @many
-- @returns now, how many jobs were taken (made ready, buried or set aside), how many of them were buried, more (1: call
--   again at once), when the next one is due, or 0
-- @reply now taken buried more next_at
-- @use now indexes settings writes promote_due

local t = now_ms(now)
local w = new_writes()
local taken, buried = promote_due(w, key, t, read_settings(key.conf), tonumber(limit))
apply(key, w)
local more = taken >= tonumber(limit) and "1" or "0"
return {ms_text(t), tostring(taken), tostring(buried), more, time_text(first_score(key.delayed))}
