# The server is at fault: gives its people the name of this denial in their log.
set -eu
status=$(curl -sS -o body.json -w '%{http_code}' -H "x-api-key: $KEY" "$API/orders")
[ "$status" -lt 400 ] && exec cat body.json
says='select(.code == "decision_failed") | "Report \(.instance) to \(.support // "the provider")."'
jq -er "$says" body.json >&2 || cat body.json >&2
exit 1
