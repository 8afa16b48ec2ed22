"""Drives the example while wrk holds its answers against what they have to be; see `reload`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

binary, seconds, changes, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
here = Path(__file__).resolve().parent


def policy(which: str, n: int) -> str:
    """Policy a or b; `n` makes each its own."""
    quota, burst = {"a": (1_000_000, 5), "b": (2_000_000, 6)}[which]
    return f"""version = 1
[denial]
realm   = "{which}"
support = "https://{which}.example/"
[api_keys]
file = "keys.toml"
[[issuer]]
name = "main"
iss = "https://id.example.com/"
audiences = ["https://orders.example.com"]
algorithms = ["ES256"]
keys = {{ jwks_file = "jwks.json" }}
[[limit]]
name  = "plenty"
rate  = "{quota}/second"
per   = ["client"]
[[limit]]
name  = "scarce"
rate  = "{burst}/365d"
per   = ["client"]
[[rule]]
name    = "list"
methods = ["GET"]
path    = "/orders"
scopes  = ["orders:read"]
limits  = ["plenty"]
[[rule]]
name    = "read"
methods = ["GET"]
path    = "/orders/{{id}}"
scopes  = ["orders:read"]
limits  = ["scarce"]
[[rule]]
name    = "change-{n}"
path    = "/changes/{n}"
public  = true
"""


BROKEN = ['version = 1\n[[rule', 'version = 1\nodd = true\n', "", None, policy("a", 0).replace("5/365d", "5/0s")]


def get(path: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as denied:
        return denied.code, denied.read().decode()


def resident(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def load(reader: str) -> subprocess.Popen[str]:
    command = ["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{seconds}s", "-s", str(here / "reload.lua"), f"http://127.0.0.1:{port}"]
    return subprocess.Popen(command, env=os.environ | {"READER": reader}, stdout=subprocess.PIPE, text=True)


def result(wrk: subprocess.Popen[str]) -> dict:
    out, _ = wrk.communicate()
    for line in out.splitlines():
        if line.startswith("SAMPLE "):
            print(line, file=sys.stderr)
    return json.loads(next(line for line in out.splitlines() if line.startswith("RESULT "))[7:])


def replace(folder: Path, text: str | None, how: int, n: int) -> None:
    """By a rename, or as a ConfigMap is: a new folder, and `..data` renamed over to it."""
    path = folder / "tollgate.toml"
    if text is None:
        path.unlink(missing_ok=True)
        return
    if how % 2 == 0:
        new = folder / "tollgate.new"
        new.write_text(text)
        new.rename(path)
        return
    version = folder / f"..version-{n}"
    version.mkdir()
    (version / "tollgate.toml").write_text(text)
    (folder / "..data.new").symlink_to(version.name)
    (folder / "..data.new").rename(folder / "..data")
    if not path.is_symlink():
        (folder / "link.new").symlink_to("..data/tollgate.toml")
        (folder / "link.new").rename(path)


def main() -> int:
    work = Path(tempfile.mkdtemp(prefix="tollgate-reload-"))
    for name in ("keys.toml", "jwks.json"):
        shutil.copy(here.parent / "config" / name, work / name)
    # The larger burst first: what is spent stays spent, so that nothing is left under either.
    (work / "policy.toml").write_text(policy("b", 0))
    log_path, credentials = work / "log", work / "credentials.json"
    with log_path.open("w") as log:
        server = subprocess.Popen(
            ["taskset", "-c", "0", binary, f"127.0.0.1:{port}", "--policy", str(work / "policy.toml"), "--credentials", str(credentials)],
            stdout=subprocess.PIPE, stderr=log, text=True,
            env=os.environ | {"RUST_LOG": "error,tollgate[{revision}]=info", "NO_COLOR": "1", "TMPDIR": str(work)},
        )
    try:
        server.stdout.readline()
        reader = json.loads(credentials.read_text())["keys"]["reader"]
        folder = work / f"orders_api-{server.pid}"
        emptied = [get("/orders/1", **{"x-api-key": reader})[0] for _ in range(7)]
        assert emptied == [200] * 6 + [403], emptied

        still = result(load(reader))
        before = resident(server.pid)
        wrk = load(reader)
        start = time.monotonic()
        good = broken = linked = 0
        for n in range(changes):
            time.sleep(max(0.0, start + (n + 0.5) * seconds / changes - time.monotonic()))
            if n % 3 == 2:
                text = BROKEN[n // 3 % len(BROKEN)]
                broken += 1
            else:
                text = policy("ab"[n % 2], n)
                good += 1
            linked += n % 2 == 1 and text is not None
            replace(folder, text, n, n)
            os.kill(server.pid, signal.SIGHUP)
        changed = result(wrk)
        after = resident(server.pid)
        last = get("/orders/1", **{"x-api-key": reader})[0]
    finally:
        server.terminate()
        ended = server.wait(10)

    lines = log_path.read_text().splitlines()
    count = lambda what: sum(what in line for line in lines)
    head = ["", "requests/s", "p50, ms", "p99, ms", "most, ms", "listed", "rate_limited", "credentials_missing",
            "mixed", "refilled", "other", "socket errors"]
    print("| " + " | ".join(head) + " |\n" + "| --- " * len(head) + "|")
    for label, row in (("no change", still), (f"{changes} changes", changed)):
        print(f"| {label} | {row['requests'] / row['seconds']:,.0f} | {row['p50']:.2f} | {row['p99']:.2f} | {row['max']:.1f} |"
              f" {row['listed']:,} | {row['limited']:,} | {row['missing']:,} | {row['mixed']} | {row['refilled']} |"
              f" {row['other']} | {row['socket_errors']} |")
    print(f"\n{good} good and {broken} broken policies were written, {linked} of them by symbolic links;"
          f" logged: {count('the policy is in force')} in force, {count('the one before stays in force')} refused.")
    print(f"Resident before and after: {before:.1f} and {after:.1f} MiB. The bucket that was emptied first: {last}."
          f" SIGTERM ended it with {ended}.")
    said = [line for line in lines if "in force" in line]
    print("\n".join(line[:240] for line in said[1:4]))
    shutil.rmtree(work)
    faults = [name for row in (still, changed) for name in ("mixed", "refilled", "other", "socket_errors") if row[name]]
    return 1 if faults or last != 403 or ended != 0 else 0


sys.exit(main())
