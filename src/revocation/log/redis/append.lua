-- KEYS: stream. ARGV: candidate epoch, when the last of the records may be forgotten (ms since the
-- epoch), the records as one protobuf message.
-- Returns the epoch and the id of the entry; without records, that of the newest one.
local stream = KEYS[1]
local epoch, head = head_of(stream, ARGV[1])
if not epoch then
  return redis.error_reply('NOLOG there is no log under this key, and create is false')
end
if ARGV[3] == '' then
  return { epoch, head }
end
-- Each entry names the one before it, so that a follower sees when one is missing.
local id = redis.call('XADD', stream, '*', 'p', head, 'x', ARGV[2], 'r', ARGV[3])
redis.call('XGROUP', 'SETID', stream, PREFIX .. epoch, id)
return { epoch, id }
