-- One request for each token of a file, then the end: FILE FIRST COUNT HEADERS-AS-JSON.
-- The main thread then goes on sleeping; load.py wakes it.
-- Requests of several connections end in any order, so a few at the end may go unanswered.

local threads = {}
local sent, answered, last = 0, 0, 0
local requests = {}
statuses = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file, first, count, headers = args[1], tonumber(args[2]), tonumber(args[3]), args[4]
  for name, value in headers:gmatch('"([^"]+)": "([^"]*)"') do
    wrk.headers[name] = value
  end
  local number = 0
  for line in io.lines(file) do
    if number >= first and number < first + count then
      wrk.headers["authorization"] = "Bearer " .. line
      table.insert(requests, wrk.format())
    end
    number = number + 1
  end
  last = #requests
  if last < count then error("the file has too few tokens") end
end

function request()
  sent = sent % last + 1
  return requests[sent]
end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
  answered = answered + 1
  if answered >= last then wrk.thread:stop() end
end

function done(summary, latency)
  local all = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do
      all[status] = (all[status] or 0) + count
    end
  end
  local parts = {}
  for status, count in pairs(all) do
    table.insert(parts, string.format('"%d": %d', status, count))
  end
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.3f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d, "statuses": {%s}}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.connect + errors.read + errors.write + errors.timeout, table.concat(parts, ", ")))
end
