# Waits as long as the denial says, but not for more than a minute, and asks again.
set -eu
for attempt in 1 2 3; do
  status=$(curl -sS -o body.json -w '%{http_code}' -H "x-api-key: $KEY" "$API/orders")
  [ "$status" -lt 400 ] && exec cat body.json
  wait=$(jq 'select(.code == "rate_limited" and .retryable) | .retry_after // 1' body.json) || wait=
  [ -n "$wait" ] && [ "$wait" -le 60 ] && [ "$attempt" -lt 3 ] || break
  sleep "$wait"
done
cat body.json >&2
exit 1
