import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def list_orders(api, token, new_token):
    """Gets a new token, once, and asks again with it."""
    for attempt in (1, 2):
        request = Request(f"{api}/orders", headers={"Authorization": f"Bearer {token}"})
        try:
            with urlopen(request) as response:
                return json.load(response)
        except HTTPError as error:
            if error.headers.get_content_type() != "application/problem+json":
                raise
            denial = json.load(error)
            if denial["code"] != "token_expired" or attempt == 2:
                raise RuntimeError(f"{denial['title']}. {denial['remedy']}") from error
        token = new_token()
