# Asking again does not help: says what does.
set -eu
status=$(curl -sS -o body.json -w '%{http_code}' -H "x-api-key: $KEY" "$API/orders")
[ "$status" -lt 400 ] && exec cat body.json
says='select(.code == "insufficient_scope") | "\(.title). \(.remedy)"'
jq -er "$says" body.json >&2 || cat body.json >&2
exit 1
