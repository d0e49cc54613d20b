-- KEYS: stream, horizon, lock. ARGV: first id to look at, how many entries, the caller's clock (ms), grace (ms),
-- the caller's mark in the lock, how long the lock lasts from now on (ms).
-- Deletes the entries whose time is over by the caller's clock and by the server's: one wrong
-- clock must not delete what is alive. Returns how many were looked at, how many were deleted, and
-- the last id.
local stream = KEYS[1]
if redis.call('GET', KEYS[3]) ~= ARGV[5] then
  return false
end
redis.call('PEXPIRE', KEYS[3], ARGV[6])
local time = redis.call('TIME')
local here = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local now = math.min(here, tonumber(ARGV[3])) - tonumber(ARGV[4])
local entries = redis.call('XRANGE', stream, ARGV[1], '+', 'COUNT', ARGV[2])
local deleted, last = 0, ''
local horizon = tonumber(redis.call('GET', KEYS[2]) or '0')
local raised = false
for _, entry in ipairs(entries) do
  last = entry[1]
  local fields = entry[2]
  for i = 1, #fields, 2 do
    local over = fields[i] == 'x' and tonumber(fields[i + 1])
    if over and over < now then
      if over > horizon then
        horizon, raised = over, true
      end
      deleted = deleted + redis.call('XDEL', stream, entry[1])
    end
  end
end
-- A replica whose clock is behind may still take a token for valid that a deleted entry was about.
-- It learns from this how far the log has forgotten.
if raised then
  redis.call('SET', KEYS[2], string.format('%.0f', horizon))
end
return { #entries, deleted, last }
