-- Asks Portcullis about a request, for haproxy.cfg. `portcullis proxy-config haproxy-lua` printed this
-- file for one Portcullis configuration; print both again when that changes.

-- An IP address: a name would be resolved for each request, and HAProxy 2.6 does not reach a unix
-- socket from Lua.
local URL = "http://{{portcullis}}/authz/forward-auth"

-- What Portcullis says in a header is kept in a variable.
local VARIABLES = {
  ["{{header}}"] = "txn.identity_{{variable}}",
}

-- About the connection or the body (RFC 9110 section 7.6.1). The question has neither.
local NOT_ASKED = {
  ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["keep-alive"] = true,
  ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true, ["transfer-encoding"] = true,
  ["upgrade"] = true,
}

-- HAProxy counts the values of a header from 0.
local function values(held)
  local list = {}
  for i = 0, #held do list[i + 1] = held[i] end
  return list
end

local function question(txn)
  local headers = {}
  for name, held in pairs(txn.http:req_get_headers()) do
    if not NOT_ASKED[name] then headers[name] = values(held) end
  end
  -- What the client says about the host, the path and the method is replaced.
  local host = txn.f:req_fhdr("host")
  headers["x-forwarded-host"] = host and { host } or nil
  headers["x-forwarded-method"] = { txn.f:method() }
  headers["x-forwarded-uri"] = { txn.f:pathq() }
  local before = txn.f:req_fhdr("{{client_ip}}")
  headers["{{client_ip}}"] = { (before and before .. ", " or "") .. txn.f:src() }
  headers["{{policy}}"] = { txn:get_var("txn.portcullis_policy") or "default" }
  return headers
end

local function refuse(txn, answer)
  local reply = txn:reply()
  local status = answer.status or 0
  -- A success that is not 200 is no permission, and no answer is HAProxy's own 503.
  if status < 400 then status = 503 end
  reply:set_status(status)
  for _, name in ipairs({ "www-authenticate", "retry-after", "cache-control", "content-type" }) do
    for _, value in ipairs(values((answer.headers or {})[name] or {})) do
      reply:add_header(name, value)
    end
  end
  reply:set_body(answer.body or "")
  txn:done(reply)
end

core.register_action("portcullis", { "http-req" }, function(txn)
  -- The first token of a new key waits until the key set was fetched again.
  local answer = core.httpclient():get({ url = URL, headers = question(txn), timeout = 3000 })
  if answer.status ~= 200 then return refuse(txn, answer) end
  for header, variable in pairs(VARIABLES) do
    local value = answer.headers[header]
    if value then txn:set_var(variable, value[0]) end
  end
  txn:set_var("txn.portcullis", "pass")
end)
