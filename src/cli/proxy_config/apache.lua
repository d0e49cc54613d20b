-- Asks Portcullis about a request, for httpd.conf. `portcullis proxy-config apache-lua` printed this file for
-- one Portcullis configuration; print both again when that changes.

local socket = require "socket"

local HOST, PORT = ("{{portcullis}}"):match("^%[?(.-)%]?:(%d+)$")

-- Seconds for each step. The first token of a new key waits until the key set was fetched again.
local TIMEOUT = 3

-- Set to what Portcullis says, or removed.
local REPLACED = {
  "{{header}}",
}

-- About the connection or the body (RFC 9110 section 7.6.1). The question has neither.
local NOT_ASKED = {
  ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["keep-alive"] = true,
  ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true, ["transfer-encoding"] = true,
  ["upgrade"] = true,
  -- What the client says about the host, the path and the method is replaced.
  ["x-forwarded-host"] = true, ["x-forwarded-method"] = true, ["x-forwarded-uri"] = true,
  ["{{policy}}"] = true,
  ["{{client_ip}}"] = true,
}

-- The connection of this thread. With a new one for each question, ports would run out.
local kept

local function question(r)
  local lines = {
    "GET /authz/forward-auth HTTP/1.1",
    "x-forwarded-method: " .. r.method,
    "x-forwarded-uri: " .. r.unparsed_uri,
  }
  lines[#lines + 1] = "{{policy}}: " .. (r.subprocess_env["portcullis_policy"] or "default")
  local before = r.headers_in["{{client_ip}}"]
  lines[#lines + 1] = "{{client_ip}}: " .. (before and before .. ", " or "") .. r.useragent_ip
  if r.hostname then lines[#lines + 1] = "x-forwarded-host: " .. r.hostname end
  for name, value in pairs(r:headers_in_table()) do
    if not NOT_ASKED[name:lower()] then lines[#lines + 1] = name .. ": " .. value end
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

-- Returns status, headers and body, or nothing.
local function exchange(connection, text)
  if not connection:send(text) then return end
  local line = connection:receive("*l")
  local status = line and tonumber(line:match("^HTTP/1%.%d (%d%d%d) "))
  if not status then return end
  local headers = {}
  repeat
    line = connection:receive("*l")
    if not line then return end
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    if name then headers[name:lower()] = value end
  until line == ""
  local length = tonumber(headers["content-length"] or 0)
  local body = length == 0 and "" or connection:receive(length)
  if body then return status, headers, body end
end

local function ask(text)
  local is_new
  repeat
    is_new = not kept
    if is_new then
      kept = socket.tcp()
      kept:settimeout(TIMEOUT)
      kept:connect(HOST, tonumber(PORT))
    end
    local status, headers, body = exchange(kept, text)
    if not status or headers["connection"] == "close" then
      kept:close()
      kept = nil
    end
    if status then return status, headers, body end
    -- A connection that was kept may have been closed meanwhile.
  until is_new
end

local function refuse(r, status, headers, body)
  -- A success that is not 200 is no permission, and no answer is 503.
  r.status = status and status >= 400 and status or 503
  for _, name in ipairs({ "www-authenticate", "retry-after", "cache-control" }) do
    if headers and headers[name] then r.err_headers_out[name] = headers[name] end
  end
  r.content_type = headers and headers["content-type"] or "text/plain"
  r:write(body or "")
  return apache2.DONE
end

-- CGI takes every separator for the same.
local function spelled(name)
  return (name:lower():gsub("[^a-z0-9]", "-"))
end

-- httpd drops every header that Connection names, also one that is set here.
local function named_for_httpd(connection)
  local tokens = {}
  for token in connection:lower():gmatch("[^,%s]+") do
    if token == "close" or token == "keep-alive" or token == "upgrade" then tokens[#tokens + 1] = token end
  end
  return #tokens > 0 and table.concat(tokens, ", ") or nil
end

function check(r)
  -- What goes to Portcullis itself, and not to the upstream.{{resources}}
  if (r.filename or ""):find("proxy:http://{{portcullis}}/", 1, true) == 1 then return apache2.OK end{{resources}}
  local status, headers, body = ask(question(r))
  if status ~= 200 then return refuse(r, status, headers, body) end
  r.headers_in["connection"] = named_for_httpd(r.headers_in["connection"] or "")
  local replaced = {}
  for _, name in ipairs(REPLACED) do replaced[spelled(name)] = true end
  for name in pairs(r:headers_in_table()) do
    if replaced[spelled(name)] then r.headers_in[name] = nil end
  end
  for _, name in ipairs(REPLACED) do
    local value = headers[name]
    if value and value ~= "" then r.headers_in[name] = value end
  end
  return apache2.OK
end
