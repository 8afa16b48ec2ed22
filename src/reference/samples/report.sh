# The server is at fault: gives its people the name of this denial in their log.
status=$(curl -sS -o body.json -w '%{http_code}' -H "x-api-key: $KEY" "$API/orders")
if [ "$status" -ge 400 ] && [ "$(jq -r .code body.json)" = decision_failed ]; then
  jq -r '"Report \(.instance) to \(.support // "the provider"), with time and path."' body.json >&2
  exit 1
fi
cat body.json
