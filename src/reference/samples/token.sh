# Gets a new token, once, and asks again with it.
set -eu
ask() { curl -sS -o body.json -w '%{http_code}' -H "Authorization: Bearer $TOKEN" "$API/orders"; }
status=$(ask)
if [ "$status" -ge 400 ] && jq -e '.code == "token_expired"' body.json >/dev/null; then
  answer=$(curl -fsS -u "$CLIENT_ID:$CLIENT_SECRET" -d grant_type=client_credentials "$TOKEN_URL")
  TOKEN=$(printf %s "$answer" | jq -er .access_token)
  status=$(ask)
fi
[ "$status" -lt 400 ] && exec cat body.json
cat body.json >&2
exit 1
