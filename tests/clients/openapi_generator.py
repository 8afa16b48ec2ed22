"""A client that openapi-generator made from the document of the example, against the live example:
each denial is an object of its code's class, and one of another code is still a denial.

Usage: python openapi_generator.py CREDENTIALS FOLDER
"""

import json
import sys

credentials, folder = sys.argv[1:]
sys.path.insert(0, folder)

import openapi_client as orders  # noqa: E402
from openapi_client.exceptions import ForbiddenException  # noqa: E402

with open(credentials) as file:
    given = json.load(file)


def denial(call, key):
    """What the call was denied with."""
    setup = orders.Configuration(host=given["address"])
    if key is not None:
        setup.api_key["ApiKeyHeader"] = key
    with orders.ApiClient(setup) as client:
        try:
            call(orders.OrdersApi(client))
        except ForbiddenException as error:
            return error.data.actual_instance, json.loads(error.body), type(error.data)
    raise AssertionError("it was let in")


setup = orders.Configuration(host=given["address"])
setup.api_key["ApiKeyHeader"] = given["keys"]["reader"]
with orders.ApiClient(setup) as client:
    assert "1" in orders.OrdersApi(client).list_orders()

misspelt, document, union = denial(lambda api: api.list_orders(), "tg_nonsense")
assert isinstance(misspelt, orders.ApiKeyMalformedDenial), misspelt
assert misspelt.failed_check.actual_instance == "length", misspelt

missing, _, _ = denial(lambda api: api.list_orders(), None)
assert isinstance(missing, orders.CredentialsMissingDenial), missing

own, _, _ = denial(lambda api: api.cancel_order(1), given["keys"]["writer"])
assert isinstance(own, orders.OrderShippedDenial) and own.shipped_on == "2026-11-20", own

# As a newer release might answer.
later = union.from_dict(document | {"code": "invented_later"}).actual_instance
assert isinstance(later, orders.UnknownDenial) and later.category == "credentials", later
print(f"openapi-generator: {misspelt.code}, {own.code} and {later.code} have their classes")
