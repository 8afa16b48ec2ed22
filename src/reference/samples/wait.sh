# Waits as long as the denial says, but not for more than a minute, and asks again.
for attempt in 1 2 3; do
  status=$(curl -sS -o body.json -w '%{http_code}' -H "x-api-key: $KEY" "$API/orders")
  [ "$status" -ge 400 ] || break
  wait=$(jq -r 'select(.code == "rate_limited" and .retryable) | .retry_after // 1' body.json)
  [ -n "$wait" ] && [ "$wait" -le 60 ] || break
  sleep "$((wait * attempt))"
done
cat body.json
