# Asking again does not help: says what does.
status=$(curl -sS -o body.json -w '%{http_code}' -H "x-api-key: $KEY" "$API/orders")
if [ "$status" -ge 400 ] && [ "$(jq -r .code body.json)" = insufficient_scope ]; then
  jq -r '"\(.title). \(.remedy)"' body.json >&2
  exit 1
fi
cat body.json
