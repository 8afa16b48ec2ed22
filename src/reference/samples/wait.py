import json
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def list_orders(api, key):
    """Waits as long as the denial says, but not for more than a minute, and asks again."""
    request = Request(f"{api}/orders", headers={"x-api-key": key})
    for attempt in (1, 2, 3):
        try:
            with urlopen(request) as response:
                return json.load(response)
        except HTTPError as error:
            if error.headers.get_content_type() != "application/problem+json":
                raise
            denial = json.load(error)
            wait = denial.get("retry_after", 1)
            may_wait = denial["retryable"] and wait <= 60 and attempt < 3
            if denial["code"] != "rate_limited" or not may_wait:
                raise RuntimeError(f"{denial['title']}. {denial['remedy']}") from error
        time.sleep(wait)
