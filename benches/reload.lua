-- What wrk sends, and what it holds every answer against.
--
-- In turn: a list, which is always admitted; an order, whose bucket is empty; and no credential.
-- Policy a and policy b differ in the realm, the support address, and two quotas: an answer that has
-- one of a and another of b is a mixture.

local key = os.getenv("READER")
local threads = {}
local asked = 0

function setup(thread)
    table.insert(threads, thread)
end

function init()
    listed, limited, missing, mixed, refilled, other = 0, 0, 0, 0, 0, 0
    sample = ""
end

local list = wrk.format("GET", "/orders", { ["x-api-key"] = key })
local order = wrk.format("GET", "/orders/1", { ["x-api-key"] = key })
local nobody = wrk.format("GET", "/orders")

function request()
    asked = asked + 1
    if asked % 3 == 0 then return nobody end
    if asked % 3 == 1 then return list end
    return order
end

local quota = { a = "1000000", b = "2000000" }
local burst = { a = "5", b = "6" }

function response(status, headers, body)
    if status == 200 then
        local q = headers["ratelimit-policy"]
        if body:find('{"1":', 1, true) ~= 1 then
            refilled = refilled + 1
            sample = status .. " " .. body
        elseif q == '"plenty";q=' .. quota.a .. ";w=1" or q == '"plenty";q=' .. quota.b .. ";w=1" then
            listed = listed + 1
        else
            other = other + 1
            sample = status .. " " .. tostring(q) .. " " .. body
        end
        return
    end
    local which = body:match('"support":"https://(%a)%.example/"')
    local code = body:match('"code":"([%a_]+)"')
    if status ~= 403 or not which or not code then
        other = other + 1
        sample = status .. " " .. body
    elseif code == "credentials_missing" then
        local challenge = headers["www-authenticate"] or ""
        if challenge:find('realm="' .. which .. '"', 1, true) then
            missing = missing + 1
        else
            mixed = mixed + 1
            sample = challenge .. " " .. body
        end
    elseif code == "rate_limited" then
        if body:find('"quota":' .. burst[which] .. ",", 1, true) then
            limited = limited + 1
        else
            mixed = mixed + 1
            sample = body
        end
    else
        other = other + 1
        sample = status .. " " .. body
    end
end

function done(summary, latency)
    local sums = {}
    for _, name in ipairs({ "listed", "limited", "missing", "mixed", "refilled", "other" }) do
        local sum = 0
        for _, thread in ipairs(threads) do sum = sum + (thread:get(name) or 0) end
        table.insert(sums, '"' .. name .. '":' .. sum)
    end
    local samples = ""
    for _, thread in ipairs(threads) do samples = samples .. (thread:get("sample") or "") end
    local errors = summary.errors
    print(string.format(
        'RESULT {%s,"requests":%d,"seconds":%.3f,"p50":%.3f,"p99":%.3f,"max":%.3f,"socket_errors":%d}',
        table.concat(sums, ","), summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
        errors.connect + errors.read + errors.write + errors.timeout))
    if samples ~= "" then print("SAMPLE " .. samples) end
end
