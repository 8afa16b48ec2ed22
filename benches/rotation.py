"""An issuer with bad days before a gate under load; see `rotation`."""

import base64
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

binary, seconds, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
here = Path(__file__).resolve().parent
work = Path(tempfile.mkdtemp(prefix="tollgate-rotation-"))
KIDS = ["one", "two", "three", "four", "five"]


def openssl(*words: str) -> bytes:
    return subprocess.run(["openssl", *words], cwd=work, check=True, capture_output=True).stdout


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def certificates() -> None:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    openssl("req", "-x509", *curve, "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "tls.key", "-out", "tls.pem",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE")


class Issuer:
    """Publishes keys over TLS, signs tokens, and has bad days."""

    def __init__(self) -> None:
        self.mode, self.fetches, self.lock = "good", 0, threading.Lock()
        self.server = None
        self.port = 0
        self.up()
        self.published: list[str] = ["one"]
        self.jwks = {}
        for kid in [*KIDS, "stranger"]:
            openssl("genpkey", "-algorithm", "ed25519", "-out", f"{kid}.pem")
            der = openssl("pkey", "-in", f"{kid}.pem", "-pubout", "-outform", "DER")
            self.jwks[kid] = {"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": b64(der[-32:])}

    def up(self) -> None:
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with issuer.lock:
                    issuer.fetches += 1
                if issuer.mode == "hangs":
                    time.sleep(10)
                    return
                if issuer.mode == "slow":
                    time.sleep(0.3)
                body = json.dumps({"keys": [issuer.jwks[kid] for kid in issuer.published]})
                if issuer.mode == "garbage":
                    body = "<html><body>Service unavailable</body></html>"
                self.send_response(200)
                self.send_header("cache-control", "max-age=60")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # A client that has given up.

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(work / "tls.pem", work / "tls.key")
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def down(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def token(self, named: str, kid: str, client: str) -> str:
        header = {"alg": "EdDSA", "typ": "at+jwt", "kid": named}
        now = int(time.time())
        claims = {"iss": f"https://localhost:{self.port}", "aud": "api", "sub": client, "iat": now, "exp": now + 3600}
        signed = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
        (work / "signed").write_text(signed)
        return signed + "." + b64(openssl("pkeyutl", "-sign", "-inkey", f"{kid}.pem", "-rawin", "-in", "signed"))


def load(tokens: list[str], name: str, duration: int) -> subprocess.Popen[str]:
    file = work / f"{name}.tokens"
    file.write_text("\n".join(tokens))
    command = ["taskset", "-c", "1", "wrk", "-t1", "-c16", f"-d{duration}s", "-s", str(here / "rotation.lua"), f"http://127.0.0.1:{port}"]
    return subprocess.Popen(command, env=os.environ | {"TOKENS": str(file)}, stdout=subprocess.PIPE, text=True)


def result(wrk: subprocess.Popen[str]) -> dict:
    out, _ = wrk.communicate()
    return json.loads(next(line for line in out.splitlines() if line.startswith("RESULT "))[7:])


def status(token: str) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/orders", headers={"authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status
    except urllib.error.HTTPError as denied:
        return denied.code


def main() -> int:
    certificates()
    issuer = Issuer()
    policy = f"""version = 1
[failures]
enabled = false       # all requests come from one address
[tokens]
cache = 0             # each signature is verified
[[issuer]]
name = "main"
iss = "https://localhost:{issuer.port}"
audiences = ["api"]
algorithms = ["EdDSA"]
keys = {{ jwks_url = "https://localhost:{issuer.port}/jwks.json", ca_file = "ca.pem", at_start = "wait" }}
[[rule]]
name = "orders"
path = "/orders"
"""
    (work / "tollgate.toml").write_text(policy)
    log = (work / "log").open("w")
    gate = subprocess.Popen(
        ["taskset", "-c", "0", binary, "serve", "--listen", f"127.0.0.1:{port}", "--policy", str(work / "tollgate.toml")],
        stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | {"RUST_LOG": "warn", "NO_COLOR": "1"},
    )
    gate.stdout.readline()
    good = {kid: issuer.token(kid, kid, f"good-{kid}") for kid in KIDS}
    wrong = {kid: issuer.token(kid, "stranger", "forged") for kid in KIDS}
    invented = [issuer.token(f"invented-{n}", "stranger", "forged") for n in range(50)]
    rows, faults = [], 0

    def phase(label: str, kids: list[str], duration: int, more: list[str] | None = None) -> None:
        """Good tokens of these keys, and beside them forged ones that name the same keys, and more."""
        nonlocal faults
        before = issuer.fetches
        both = load([good[kid] for kid in kids], "good", duration), load([wrong[kid] for kid in kids] + (more or []), "forged", duration)
        admitted, refused = map(result, both)
        rows.append((label, admitted, refused, issuer.fetches - before))
        bad = refused["admitted"] + admitted["refused"] + admitted["socket_errors"] + refused["socket_errors"]
        bad += admitted["admitted"] == 0 or refused["refused"] == 0
        faults += bad
        print(f"{label}: {admitted} {refused}", file=sys.stderr)

    try:
        phase("no rotation", ["one"], seconds)
        issuer.published = ["one", "two"]
        phase("the next key is published ahead", ["one"], 60)
        phase("and signs", ["one", "two"], seconds)
        issuer.published = ["two", "three"]
        phase("another key signs at once", ["two", "three"], seconds)
        for mode, label in (("down", "the issuer is down"), ("garbage", "it serves garbage"), ("hangs", "it hangs")):
            # Invented ids ask for the keys every 30 s.
            issuer.down() if mode == "down" else setattr(issuer, "mode", mode)
            phase(label, ["two", "three"], 35, invented)
            issuer.up() if mode == "down" else setattr(issuer, "mode", "good")
        phase("it is back", ["two", "three"], 35, invented)
        time.sleep(31)
        issuer.mode, issuer.published = "slow", ["three", "four"]
        phase("it takes 300 ms, and another key signs at once", ["three", "four"], seconds)
        issuer.mode = "good"
        phase("no rotation, again", ["four"], seconds)
        time.sleep(31)
        flood = load(invented, "flood", 45)
        time.sleep(2)
        issuer.published = ["four", "five"]
        begin, first = time.monotonic(), None
        while first is None and time.monotonic() - begin < 60:
            if status(good["five"]) == 200:
                first = time.monotonic() - begin
            else:
                time.sleep(0.2)
        flooded = result(flood)
        faults += flooded["admitted"] + (first is None or first > 32)
    finally:
        gate.terminate()
        ended = gate.wait(10)
    head = ["phase", "good/s", "p50, ms", "p99, ms", "most, ms", "good admitted", "good refused", "forged refused", "forged admitted", "fetches"]
    print("| " + " | ".join(head) + " |\n" + "| --- " * len(head) + "|")
    for label, a, r, fetches in rows:
        print(f"| {label} | {a['admitted'] / a['seconds']:,.0f} | {a['p50']:.2f} | {a['p99']:.2f} | {a['max']:.1f} | {a['admitted']:,} |"
              f" {a['refused']} | {r['refused']:,} | {r['admitted']} | {fetches} |")
    print(f"\nWhile ids are invented, a key that signs at once is known after {first:.1f} s, and after 30 s at most;"
          f" {flooded['refused']:,} invented ones were refused meanwhile.")
    lines = (work / "log").read_text().splitlines()
    print(f"Logged: {sum('cannot be fetched' in line for line in lines)} fetches that failed. Fetches in all: {issuer.fetches}. SIGTERM ended the gate with {ended}.")
    shutil.rmtree(work)
    return 1 if faults or ended != 0 else 0


sys.exit(main())
