-- Sends the tokens of a file in turn, and counts the answers by what they are.

local tokens, next_one, threads = {}, 0, {}

function setup(thread)
    table.insert(threads, thread)
end

function init()
    for line in io.lines(os.getenv("TOKENS")) do
        table.insert(tokens, wrk.format("GET", "/orders", { authorization = "Bearer " .. line }))
    end
    admitted, refused, codes = 0, 0, ""
    seen = {}
end

function request()
    next_one = next_one % #tokens + 1
    return tokens[next_one]
end

function response(status, headers, body)
    if status == 200 then
        admitted = admitted + 1
        return
    end
    refused = refused + 1
    local code = body:match('"code":"([%a_]+)"') or tostring(status)
    seen[code] = (seen[code] or 0) + 1
    if seen[code] == 1 then codes = codes .. code .. " " end
end

function done(summary, latency)
    local a, r, c = 0, 0, ""
    for _, thread in ipairs(threads) do
        a, r = a + thread:get("admitted"), r + thread:get("refused")
        c = c .. thread:get("codes")
    end
    local errors = summary.errors
    print(string.format(
        'RESULT {"admitted":%d,"refused":%d,"codes":"%s","seconds":%.3f,"p50":%.3f,"p99":%.3f,"max":%.3f,"socket_errors":%d}',
        a, r, c, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        latency.max / 1e3, errors.connect + errors.read + errors.write + errors.timeout))
end
