import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def list_orders(api, key):
    """Asking again does not help: says what does."""
    request = Request(f"{api}/orders", headers={"x-api-key": key})
    try:
        with urlopen(request) as response:
            return json.load(response)
    except HTTPError as error:
        if error.headers.get_content_type() != "application/problem+json":
            raise
        denial = json.load(error)
        if denial["code"] == "insufficient_scope":
            raise PermissionError(f"{denial['title']}. {denial['remedy']}") from error
        raise
