# Gets a new token, once, and asks again with it.
ask() { curl -sS -o body.json -w '%{http_code}' -H "Authorization: Bearer $TOKEN" "$API/orders"; }
status=$(ask)
if [ "$status" -ge 400 ] && [ "$(jq -r .code body.json)" = token_expired ]; then
  TOKEN=$(curl -sS -u "$CLIENT_ID:$CLIENT_SECRET" -d grant_type=client_credentials \
    "$TOKEN_URL" | jq -r .access_token)
  status=$(ask)
fi
cat body.json
