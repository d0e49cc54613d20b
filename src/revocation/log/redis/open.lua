-- KEYS: stream, probe, a key that is never made. ARGV: candidate epoch, 'write' or 'read'. Returns epoch and head.
local stream, probe = KEYS[1], KEYS[2]
local epoch, head = head_of(stream, ARGV[1])
if not epoch then
  return redis.error_reply('NOLOG there is no log under this key, and create is false')
end
if ARGV[2] == 'write' then
  -- What an append does. A user who may not do it must be found out now: halfway
  -- through an append would be too late.
  -- The XADD adds nothing, because there is no such stream.
  redis.call('XADD', KEYS[3], 'NOMKSTREAM', '*', 'p', '1')
  redis.call('XGROUP', 'SETID', stream, PREFIX .. epoch, head)
  redis.call('SET', probe, '1', 'PX', 1)
  redis.call('GET', probe)
  redis.call('PEXPIRE', probe, 1)
end
return { epoch, head }
