-- KEYS: stream, a key that is never made. ARGV: candidate epoch, 'write' or 'read'.
-- Returns the epoch, the id of the newest entry and the server's time (ms since the epoch).
local stream = KEYS[1]
local epoch, head = head_of(stream, ARGV[1])
if not epoch then
  return redis.error_reply('NOLOG there is no log under this key, and create is false')
end
if ARGV[2] == 'write' then
  -- What an append does. A user who may not do it must be found out now: halfway
  -- through an append would be too late.
  -- The XADD adds nothing, because there is no such stream.
  redis.call('XADD', KEYS[2], 'NOMKSTREAM', '*', 'p', '1')
  redis.call('XGROUP', 'SETID', stream, PREFIX .. epoch, head)
end
local time = redis.call('TIME')
return { epoch, head, string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)) }
