"""Runs programs in Python from the pages against the live API: ADDRESS KEY FOLDER."""

import importlib.util
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

address, key, folder = sys.argv[1:]


def sample(code):
    spec = importlib.util.spec_from_file_location(code, Path(folder) / f"{code}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.list_orders


def exhaust():
    """Empties the bucket of the key."""
    request = Request(f"{address}/orders", headers={"x-api-key": key})
    for _ in range(50):
        try:
            urlopen(request).close()
        except HTTPError as error:
            error.close()
            return
    raise AssertionError("no limit was reached")


def refusal(code, *arguments):
    try:
        sample(code)(address, *arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"{code} was admitted")


def waiting():
    """The seconds for which the program waited. On a slow machine the bucket may fill before."""
    for _ in range(20):
        exhaust()
        start = time.monotonic()
        assert sample("rate_limited")(address, key)
        waited = time.monotonic() - start
        if waited >= 1:
            return waited
    raise AssertionError("it never waited")


waited = waiting()
assert refusal("api_key_malformed", "nonsense").startswith("PermissionError: API key malformed. Check")
assert refusal("rate_limited", "nonsense").startswith("RuntimeError: API key malformed. ")

tokens = []
try:
    sample("token_expired")(address, "x.y.z", lambda: tokens.append("no good"))
except RuntimeError as error:
    assert str(error).startswith("Token malformed. "), error
assert tokens == [], "a new token is asked for where that helps, and nowhere else"
print(f"Python: waits {waited:.1f} s, tells what to do, and renews nothing in vain")
