-- A FusionAuth event about one new user per request: FIRST-NUMBER PASSWORD PAUSE-MS.

local threads = {}
local number, pause = 0, 0
local now = os.time() * 1000
refused = 0

local function base64(text)
  local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    for place = 18, 0, -6 do
      local digit = math.floor(bits / 2 ^ place) % 64
      table.insert(out, letters:sub(digit + 1, digit + 1))
    end
    if not c then out[#out] = "=" end
    if not b then out[#out - 1] = "=" end
  end
  return table.concat(out)
end

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  number, pause = tonumber(args[1]), tonumber(args[3])
  wrk.method = "POST"
  wrk.headers["content-type"] = "application/json"
  wrk.headers["authorization"] = "Basic " .. base64("hooks:" .. args[2])
  -- With a delay function every request goes through a timer, so it is there only if needed.
  if pause > 0 then
    delay = function() return pause end
  end
end

function request()
  number = number + 1
  local body = string.format(
    '{"event":{"type":"user.deactivate","id":"bench-%d-%d","createInstant":%d,"user":{"id":"storm-%d"}}}',
    now, number, now, number)
  return wrk.format(nil, nil, nil, body)
end

function response(status)
  if status < 200 or status > 299 then refused = refused + 1 end
end

function done(summary, latency)
  local all = 0
  for _, thread in ipairs(threads) do all = all + thread:get("refused") end
  local errors = summary.errors
  io.write(string.format(
    '\n{"events": %d, "seconds": %.3f, "per_second": %.1f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, all,
    errors.connect + errors.read + errors.write + errors.timeout))
end
