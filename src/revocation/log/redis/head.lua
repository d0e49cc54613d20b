-- The head of the log is a consumer group that nobody reads with. It lives inside the stream's
-- key, so it can neither outlive the stream nor be lost without it: its name carries the epoch,
-- its last-delivered-id is the id of the newest entry that was ever appended.
local PREFIX = 'portcullis:'

local function find_head(stream)
  if redis.call('EXISTS', stream) == 0 then
    return nil
  end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local fields = {}
    for i = 1, #group, 2 do
      fields[group[i]] = group[i + 1]
    end
    if string.sub(fields['name'], 1, #PREFIX) == PREFIX then
      return string.sub(fields['name'], #PREFIX + 1), fields['last-delivered-id']
    end
  end
  return nil
end

-- Starts a new epoch under the name `candidate` when there is no log yet. An empty name starts none.
local function head_of(stream, candidate)
  local epoch, head = find_head(stream)
  if not epoch and candidate ~= '' then
    redis.call('XGROUP', 'CREATE', stream, PREFIX .. candidate, '$', 'MKSTREAM')
    epoch, head = find_head(stream)
  end
  return epoch, head
end
