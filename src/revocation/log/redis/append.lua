-- KEYS: stream, then one key per record that tells whether it is in the log already.
-- ARGV: candidate epoch, how long duplicates are remembered (ms), when the last of the records may
-- be forgotten (ms since the epoch), then in the order of the keys the records, then the moment
-- that each of them says it may be forgotten at.
-- Returns the epoch and the ids of the entries that hold the records.
local stream, memory = KEYS[1], ARGV[2]
local epoch, head = head_of(stream, ARGV[1])
if not epoch then
  return redis.error_reply('NOLOG there is no log under this key, and create is false')
end
local count = #KEYS - 1
local reply, records, fresh, known = { epoch }, {}, {}, {}

for i = 1, count do
  local key, record, forget_after = KEYS[1 + i], ARGV[3 + i], ARGV[3 + count + i]
  local seen = redis.call('GET', key) or ''
  local in_epoch, id, until_then = string.match(seen, '^(%x+) (%S+) (%d+)$')
  -- What was remembered in another epoch is not in this log, and a record that must be remembered
  -- for longer is news.
  if in_epoch == epoch and tonumber(until_then) >= tonumber(forget_after) then
    reply[#reply + 1] = id
    known[#known + 1] = key
  else
    records[#records + 1] = record
    fresh[#fresh + 1] = { key, forget_after }
  end
end

-- The entry before anything that claims that it is there. Each one names its predecessor, so that
-- a follower sees when one is missing.
if #fresh > 0 then
  local id = redis.call(
    'XADD', stream, '*', 'p', head, 'x', ARGV[3], 'r', table.concat(records))
  redis.call('XGROUP', 'SETID', stream, PREFIX .. epoch, id)
  for _, one in ipairs(fresh) do
    redis.call('SET', one[1], epoch .. ' ' .. id .. ' ' .. one[2], 'PX', memory)
  end
  reply[#reply + 1] = id
end

if count == 0 then
  reply[#reply + 1] = head
end

-- A write for the known ones too: WAIT counts from the connection's last write, and so covers an
-- entry that another connection wrote.
for _, key in ipairs(known) do
  redis.call('PEXPIRE', key, memory)
end
return reply
