"""A client that openapi-python-client made from the document of the example, against the live example:
each denial is an object of its code's class, those of codes of the application too, and one of a code
that the document does not know is still a denial.

Usage: python generated.py CREDENTIALS FOLDER
"""

import json
import sys

credentials, folder = sys.argv[1:]
sys.path.insert(0, folder)

from orders_client import AuthenticatedClient, Client  # noqa: E402
from orders_client.api.orders import cancel_order, list_orders  # noqa: E402
from orders_client.models import (  # noqa: E402
    ApiKeyMalformedDenial,
    CredentialsMissingDenial,
    OrderShippedDenial,
    UnknownDenial,
)

with open(credentials) as file:
    given = json.load(file)


def client(key):
    return AuthenticatedClient(
        base_url=given["address"], token=key, prefix="", auth_header_name="x-api-key"
    )


admitted = list_orders.sync_detailed(client=client(given["keys"]["reader"]))
assert admitted.status_code == 200, admitted

misspelt = list_orders.sync(client=client("tg_nonsense"))
assert isinstance(misspelt, ApiKeyMalformedDenial), misspelt
assert (misspelt.code.value, misspelt.failed_check) == ("api_key_malformed", "length"), misspelt

missing = list_orders.sync(client=Client(base_url=given["address"]))
assert isinstance(missing, CredentialsMissingDenial), missing
assert {accepted.name for accepted in missing.accepted_credentials} == {"x-api-key", "authorization"}

own = cancel_order.sync(1, client=client(given["keys"]["writer"]))
assert isinstance(own, OrderShippedDenial) and own.shipped_on == "2026-11-20", own

# As a newer release might answer.
document = misspelt.to_dict() | {"code": "invented_later"}
later = list_orders._parse_response(
    client=client(""),
    response=type("Response", (), {"status_code": 403, "json": lambda self: document})(),
)
assert isinstance(later, UnknownDenial) and later.category.value == "credentials", later
print(f"openapi-python-client: {misspelt.code.value}, {own.code.value} and {later.code} have their classes")
