import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def list_orders(api, key):
    """The server is at fault: gives its people the name of this denial in their log."""
    request = Request(f"{api}/orders", headers={"x-api-key": key})
    try:
        with urlopen(request) as response:
            return json.load(response)
    except HTTPError as error:
        if error.headers.get_content_type() != "application/problem+json":
            raise
        denial = json.load(error)
        if denial["code"] == "decision_failed":
            where = denial.get("support", "the provider")
            report = f"Report {denial['instance']} to {where}, with time and path."
            raise RuntimeError(report) from error
        raise
