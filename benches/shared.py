"""Processes that share limits through Redis, under load and under faults; see `shared`."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

TOLLGATE = os.environ["TOLLGATE"]
SERVER = os.environ.get("REDIS_SERVER", "redis-server")
SCRIPT = Path(os.environ.get("SCRIPT") or Path(__file__).resolve().parent.parent / "src/limit/redis/script.lua")
# A request that has no answer after this is hung.
HUNG = 5.0


def free_port() -> int:
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            # The bus of a cluster is 10,000 ports higher.
            if listener.getsockname()[1] <= 55_535:
                return listener.getsockname()[1]


class Redis:
    """A server that can be stopped and killed."""

    def __init__(self, folder: Path, *options: str, port: int | None = None):
        self.port, self.folder, self.options = port or free_port(), folder, options
        self.start()

    def start(self) -> None:
        folder = self.folder / str(self.port)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        command = [SERVER, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command += ["--dir", str(folder), "--enable-debug-command", "yes", *self.options]
        if "v=6" in subprocess.run([SERVER, "--version"], capture_output=True, text=True).stdout:
            at = command.index("--enable-debug-command")
            del command[at : at + 2]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while True:
            try:
                if self("PING") == "PONG":
                    return
            except OSError:
                pass
            time.sleep(0.01)

    def __call__(self, *words: str) -> str:
        """One command, on a connection of its own; an error of the server is returned as its text."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words))
            reader = connection.makefile("rb")
            return self.reply(reader)

    def reply(self, reader) -> str:
        line = reader.readline().decode().rstrip()
        if line[:1] == "$" and line != "$-1":
            return reader.read(int(line[1:]) + 2)[:-2].decode()
        return line.removeprefix("+").removeprefix(":")

    def calls(self) -> int:
        """How many scripts ran."""
        stats = self("INFO", "commandstats")
        return sum(int(calls) for calls in re.findall(r"cmdstat_eval(?:sha)?:calls=(\d+)", stats))

    def send(self, sign: int) -> None:
        self.process.send_signal(sign)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()


@dataclass
class Limits:
    rate: int = 100
    burst: int = 200
    deadline: float = 0.25
    nodes: int = 8
    store: str = ""
    share_of: str = ""

    def policy(self) -> str:
        deadline = int(self.deadline * 1000)
        limits = "".join(
            f"""[[limit]]
name  = "{name}"
rate  = "{self.rate}/second"
burst = {self.burst}
per   = ["header:x-client"]
on_store_failure = "{how}"
[[rule]]
name   = "{name}"
path   = "/{name}"
public = true
limits = ["{name}"]
"""
            for name, how in (("closed", "closed"), ("share", "local_share"), ("open", "open"))
        )
        return f"""version = 1
allow = [{{ warning = "unproven-limit-key", reason = "whom to count is what is measured" }}]
[denial]
status = "standard"
[store]
kind = "redis"
{self.store}
nodes = {self.nodes}
deadline = "{deadline}ms"
{limits}"""


class Gate:
    """A process of `tollgate serve`."""

    def __init__(self, policy: Path, log: Path):
        self.log = log.open("a")
        environment = os.environ | {"RUST_LOG": "warn"}
        self.process = subprocess.Popen([TOLLGATE, "serve", "--policy", str(policy), "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)
        line = self.process.stdout.readline()
        self.port = int(line.rsplit(":", 1)[1])

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


@dataclass
class Answer:
    sent: float
    came: float
    status: int


@dataclass
class Load:
    """Clients in turn, at a pace, each request on a connection that is kept."""

    gates: list[Gate]
    path: str
    clients: list[str]
    workers: int
    pause: float
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    lost: int = 0
    stopped: bool = False

    async def worker(self, gate: Gate, start: int) -> None:
        reader = writer = None
        turn = start
        while not self.stopped:
            client = self.clients[turn % len(self.clients)]
            turn += 1
            sent = time.monotonic()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
                writer.write(f"GET {self.path} HTTP/1.1\r\nhost: gate\r\nx-client: {client}\r\n\r\n".encode())
                status = await asyncio.wait_for(self.answer(reader), HUNG)
                self.answers.setdefault(client, []).append(Answer(sent, time.monotonic(), status))
            except (OSError, EOFError, asyncio.TimeoutError, ValueError) as trouble:
                self.lost += 1
                print(f"lost: {trouble!r}", file=sys.stderr)
                writer = None
            await asyncio.sleep(max(0.0, self.pause - (time.monotonic() - sent)))

    async def answer(self, reader: asyncio.StreamReader) -> int:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"content-length: (\d+)", head, re.I)
        if length:
            await reader.readexactly(int(length[1]))
        return int(head.split(" ", 2)[1])

    def all(self) -> list[Answer]:
        return [answer for answers in self.answers.values() for answer in answers]

    def start(self) -> list[asyncio.Task]:
        # Each begins at another moment.
        async def begin(gate: Gate, number: int) -> None:
            await asyncio.sleep(self.pause * number / (len(self.gates) * self.workers))
            await self.worker(gate, number)

        numbered = enumerate(gate for gate in self.gates for _ in range(self.workers))
        return [asyncio.create_task(begin(gate, number)) for number, gate in numbered]


def excess(answers: list[Answer], rate: float) -> float:
    """The most by which any interval exceeds `rate` times its length, in tokens.

    An interval is taken from before the first of its requests was sent until the last was answered, so
    it is never longer on the wire than here.
    """
    grants = sorted((answer for answer in answers if answer.status == 200), key=lambda answer: answer.came)
    first, begin = float("inf"), [0.0] * len(grants)
    for index in range(len(grants) - 1, -1, -1):
        first = min(first, grants[index].sent)
        begin[index] = first
    most, best = 0.0, float("-inf")
    for index, grant in enumerate(grants):
        best = max(best, rate * begin[index] - index)
        most = max(most, index + 1 - rate * grant.came + best)
    return most


def percentile(answers: list[Answer], part: float) -> float:
    taken = sorted(answer.came - answer.sent for answer in answers)
    return taken[min(len(taken) - 1, int(len(taken) * part))] * 1000 if taken else 0.0


def count(answers: list[Answer], status: int) -> int:
    return sum(answer.status == status for answer in answers)


async def hot(folder: Path, seconds: float) -> bool:
    limits = Limits()
    redis = Redis(folder)
    limits.store = f'url = "redis://127.0.0.1:{redis.port}"'
    policy = folder / "policy.toml"
    policy.write_text(limits.policy())
    gates = [Gate(policy, folder / "log") for _ in range(8)]
    try:
        await ready(gates, "/closed")
        redis("CONFIG", "RESETSTAT")
        load = Load(gates, "/closed", ["hot"], 2, 0.02)
        began = time.monotonic()
        tasks = load.start()
        await asyncio.sleep(seconds)
        load.stopped = True
        await asyncio.gather(*tasks)
        took = time.monotonic() - began
        answers = load.all()
        granted, calls = count(answers, 200), redis.calls()
        ideal = limits.burst + limits.rate * took
        found, bound = excess(answers, limits.rate), limits.burst + limits.rate * limits.deadline
        print(f"8 processes, one client, {took:.1f} s, {limits.rate}/second, burst {limits.burst}, closed, deadline 250 ms\n")
        print("| requests | granted | of the ideal | refused | 503, timed out | lost | worst interval over rate·t | bound burst + rate·D | script calls | calls per decision | p50, ms | p99, ms |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        print(
            f"| {len(answers)} | {granted} | {granted / ideal:.4f} | {count(answers, 429)} | {count(answers, 503)} | {load.lost} "
            f"| {found:.1f} | {bound:.1f} | {calls} | {calls / len(answers):.3f} | {percentile(answers, 0.5):.1f} | {percentile(answers, 0.99):.1f} |"
        )
        return found <= bound and granted >= 0.95 * ideal and load.lost == 0
    finally:
        for gate in gates:
            gate.end()
        redis.end()


async def ready(gates: list[Gate], path: str) -> None:
    """Waits until every process has had an answer of its store."""
    for number, gate in enumerate(gates):
        probe = Load([gate], path, [f"ready-{number}"], 1, 0.05)
        tasks = probe.start()
        while not any(answer.status == 200 for answer in probe.all()):
            await asyncio.sleep(0.02)
        probe.stopped = True
        await asyncio.gather(*tasks)


@dataclass
class Fault:
    name: str
    begin: object
    end: object
    # Whether the store loses its buckets.
    loses: int = 0
    lasts: float = 3.0


async def in_thread(call) -> None:
    await asyncio.get_running_loop().run_in_executor(None, call)


def make_user(redis: Redis) -> None:
    redis("ACL", "SETUSER", "gate", "on", ">secret", "~tollgate:*", "+@all")


def faults_of(redis: Redis) -> list[Fault]:
    def restart() -> None:
        redis.end()
        redis.start()
        make_user(redis)

    def acl(*rules: str):
        # The user of the gates, and connections that it has already.
        return lambda: redis("ACL", "SETUSER", "gate", *rules)

    def nothing() -> None:
        pass

    return [
        Fault("none", nothing, nothing),
        Fault("SIGSTOP", lambda: redis.send(signal.SIGSTOP), lambda: redis.send(signal.SIGCONT)),
        Fault("kill -9, and an empty restart", lambda: redis.send(signal.SIGKILL), restart, loses=1),
        Fault("FLUSHALL", lambda: redis("FLUSHALL"), nothing, loses=1),
        Fault("SCRIPT FLUSH", lambda: redis("SCRIPT", "FLUSH"), nothing),
        Fault("CLIENT PAUSE", lambda: redis("CLIENT", "PAUSE", "3000"), nothing),
        Fault("DEBUG SLEEP", lambda: redis("DEBUG", "SLEEP", "3"), nothing),
        Fault("maxmemory", lambda: redis("CONFIG", "SET", "maxmemory", "1"), lambda: redis("CONFIG", "SET", "maxmemory", "0")),
        Fault("ACL withdrawn", acl("-@all", "+ping"), acl("+@all")),
        Fault("user disabled, connections cut", lambda: (acl("off")(), redis("CLIENT", "KILL", "USER", "gate")), acl("on")),
    ]


async def faults(folder: Path, seconds: float) -> bool:
    limits = Limits(rate=50, burst=100, nodes=4)
    redis = Redis(folder)
    make_user(redis)
    os.environ["GATE_PASSWORD"] = "secret"
    limits.store = f'url = "redis://127.0.0.1:{redis.port}"\nusername = "gate"\npassword_env = "GATE_PASSWORD"'
    policy = folder / "policy.toml"
    policy.write_text(limits.policy())
    gates = [Gate(policy, folder / "log") for _ in range(4)]
    fine = True
    print(f"4 processes, one client on each of two limits, {limits.rate}/second, burst {limits.burst}, deadline 250 ms, faults of 3 s\n")
    print("| fault | limit | requests | granted | 503 | lost | worst interval over rate·t (2·rate·t for shares) | bound | p99, ms | p99 a second after, ms | recovered after, s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    try:
        await ready(gates, "/closed")
        only = os.environ.get("FAULT", "")
        for fault in (fault for fault in faults_of(redis) if only in fault.name):
            closed = Load(gates, "/closed", [f"closed {fault.name}"], 2, 0.02)
            share = Load(gates, "/share", [f"share {fault.name}"], 2, 0.02)
            tasks = closed.start() + share.start()
            await asyncio.sleep(1.5)
            begun = time.monotonic()
            starting = asyncio.create_task(in_thread(fault.begin))
            await asyncio.sleep(fault.lasts)
            await in_thread(fault.end)
            await starting
            ended = time.monotonic()
            await asyncio.sleep(max(6.0, seconds))
            closed.stopped = share.stopped = True
            await asyncio.gather(*tasks)
            for name, load in (("closed", closed), ("local_share", share)):
                answers = load.all()
                bound = limits.burst * (1 + fault.loses) + limits.rate * limits.deadline
                shares = 1
                if name == "local_share":
                    # The shares of all processes are together another burst, and the rate once more.
                    bound, shares = bound + limits.burst, 2
                found = excess(answers, limits.rate * shares)
                failed = [answer.came for answer in answers if answer.status == 503 and answer.came > ended]
                recovered = max(failed) - ended if failed else 0.0
                later = [answer for answer in answers if answer.sent > begun + 1 and answer.sent < ended]
                held = found <= bound and load.lost == 0 and recovered < 5.5
                fine = fine and held
                print(
                    f"| {fault.name} | {name} | {len(answers)} | {count(answers, 200)} | {count(answers, 503)} | {load.lost} "
                    f"| {found:.1f} | {bound:.1f} | {percentile(answers, 0.99):.1f} | {percentile(later, 0.99):.1f} | {recovered:.2f} |{'' if held else ' NOT HELD'}",
                    flush=True,
                )
    finally:
        for gate in gates:
            gate.end()
        redis.end()
    return await shard_down(folder) and fine


async def shard_down(folder: Path) -> bool:
    """A cluster of three primaries, one of which stops."""
    limits = Limits(rate=50, burst=100, nodes=4)
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
    nodes = [Redis(folder, *options) for _ in range(3)]
    gates: list[Gate] = []
    try:
        addresses = [f"127.0.0.1:{node.port}" for node in nodes]
        subprocess.run(["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"], check=True, stdout=subprocess.DEVNULL)
        while not all("cluster_state:ok" in node("CLUSTER", "INFO") for node in nodes):
            time.sleep(0.1)
        limits.store = "cluster = [" + ", ".join(f'"redis://{address}"' for address in addresses) + "]"
        policy = folder / "cluster.toml"
        policy.write_text(limits.policy())
        gates = [Gate(policy, folder / "cluster.log") for _ in range(4)]
        await ready(gates, "/closed")
        clients = [f"client-{number}" for number in range(12)]
        loads = {name: Load(gates, f"/{name}", clients, 4, 0.02) for name in ("closed", "share", "open")}
        tasks = [task for load in loads.values() for task in load.start()]
        await asyncio.sleep(2)
        begun = time.monotonic()
        nodes[1].send(signal.SIGSTOP)
        await asyncio.sleep(4)
        nodes[1].send(signal.SIGCONT)
        ended = time.monotonic()
        await asyncio.sleep(8)
        for load in loads.values():
            load.stopped = True
        await asyncio.gather(*tasks)

        def failed(client: str, start: float, end: float) -> int:
            return sum(answer.status == 503 and start < answer.sent < end for answer in loads["closed"].answers[client])

        # The keys of a client lie in one slot, whatever the limit.
        down = [client for client in clients if failed(client, begun + 1, ended)]
        fine = 0 < len(down) < 12
        print(f"\none of three shards stopped for 4 s; 12 clients, {len(down)} of them on it; {limits.rate}/second, burst {limits.burst}\n")
        print("| limit | clients | requests | granted | granted meanwhile | 503 | p99 meanwhile, ms | lost | worst interval over rate·t (2·rate·t for shares) | bound | recovered after, s |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for name, load in loads.items():
            for place, some in (("on it", down), ("on the others", [client for client in clients if client not in down])):
                answers = [answer for client in some for answer in load.answers[client]]
                during = [answer for answer in answers if begun + 1 < answer.sent < ended]
                bound, shares = limits.burst + limits.rate * limits.deadline, 1
                if name == "share":
                    bound, shares = bound + limits.burst, 2
                most = max((excess(load.answers[client], limits.rate * shares) for client in some), default=0.0)
                is_bound = name != "open" or place != "on it"
                late = [answer.came for answer in answers if answer.status == 503 and answer.came > ended]
                recovered = max(late) - ended if late else 0.0
                held = (most <= bound or not is_bound) and load.lost == 0 and recovered < 5.5
                held = held and (count(answers, 503) == 0 or name == "closed")
                fine = fine and held
                print(
                    f"| {name} | {len(some)} {place} | {len(answers)} | {count(answers, 200)} | {count(during, 200)} | {count(answers, 503)} "
                    f"| {percentile(during, 0.99):.1f} | {load.lost} | {most:.1f} | {f'{bound:.1f}' if is_bound else 'none'} | {recovered:.2f} |{'' if held else ' NOT HELD'}",
                    flush=True,
                )
        return fine
    finally:
        for gate in gates:
            gate.end()
        for node in nodes:
            node.end()


# What others send, in our own words: the theoretical arrival time of one bucket as text, in microseconds;
# the same in float seconds, with a reply of five; and a counter of a window that ends by itself.
PLAIN = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local emission, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local new = tat + emission * cost
if new - now > emission * burst then return {0, 0, math.ceil(new - now - emission * burst)} end
redis.call('SET', KEYS[1], string.format('%.0f', new), 'PX', math.ceil((new - now) / 1000))
return {1, math.floor((emission * burst - (new - now)) / emission), 0}
"""
FLOATS = """
local burst, rate, period, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local interval = period / rate
local increment, offset = interval * cost, interval * burst
local t = redis.call('TIME')
local now = (t[1] - 1483228800) + t[2] / 1000000
local tat = redis.call('GET', KEYS[1])
tat = tat and math.max(tonumber(tat), now) or now
local new = tat + increment
local remaining = (now - (new - offset)) / interval
if remaining < 0 then return {0, 0, tostring(new - offset - now), tostring(tat - now)} end
local reset = new - now
if reset > 0 then redis.call('SET', KEYS[1], string.format('%.6f', new), 'EX', math.ceil(reset)) end
return {cost, math.floor(remaining), tostring(-1), tostring(reset)}
"""
COUNTER = """
local count = redis.call('INCRBY', KEYS[1], ARGV[2])
if count == tonumber(ARGV[2]) then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return count
"""


def speed(folder: Path, requests: int) -> bool:
    """What one core of the server does, in turns."""
    redis = Redis(folder)
    import struct

    # One charge of a quota of a million a second and a burst as large, as `script.rs` writes it.
    quota = struct.pack("<IdII", 1, 1.0, 1_000_000, 0)
    terms = struct.pack("<Iddd", 1, 1.0, 1.0, 1_000_000.0) + quota
    one = bytes([1, 0]) + terms

    def load(text: str) -> str:
        return redis("SCRIPT", "LOAD", text)

    def ours(records: bytes) -> str:
        # redis-benchmark sends no zero bytes, so the record stands in the script.
        literal = '"' + "".join(f"\\{byte:03d}" for byte in records) + '"'
        text = SCRIPT.read_text()
        assert text.count("= ARGV[1],") == 1
        return load(text.replace("= ARGV[1],", f"= {literal},"))

    key = "key:__rand_int__"
    three = b"".join(bytes([1, 2 - index]) + terms for index in range(3))
    same_tag = [f"{name}:{{__rand_int__}}" for name in "abc"]
    sixteen = [f"{index}:__rand_int__" for index in range(16)]
    rows: dict[str, list[str]] = {
        "GET": ["GET", key],
        "empty script": ["EVALSHA", load("return 1"), "1", key],
        "this script, one limit": ["EVALSHA", ours(one), "1", key],
        "this script, three limits of one decision": ["EVALSHA", ours(three), "3", *same_tag],
        "this script, 16 decisions": ["EVALSHA", ours(one * 16), "16", *sixteen],
        "plain GCRA script": ["EVALSHA", load(PLAIN), "1", "plain:__rand_int__", "1", "1000000", "1"],
        "redis_rate's way": ["EVALSHA", load(FLOATS), "1", "float:__rand_int__", "1000000", "1000000", "1", "1"],
        "a counter's way (limitador)": ["EVALSHA", load(COUNTER), "1", "counter:__rand_int__", "1", "1"],
    }
    def cpu() -> float:
        fields = Path(f"/proc/{redis.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def drive(words: list[str], clients: int, pipeline: int, calls: int) -> list[float]:
        command = ["redis-benchmark", "-p", str(redis.port), "-c", str(clients), "-P", str(pipeline)]
        command += ["-n", str(calls), "-r", "10000", "--csv", *words]
        output = subprocess.run(command, capture_output=True, check=True).stdout.decode()
        return [float(number) for number in re.findall(r'"([\d.]+)"', output.strip().splitlines()[-1])]

    many, one_by_one, server, latency = ({name: [] for name in rows} for _ in range(4))
    for _ in range(7):
        for name, words in rows.items():
            before = cpu()
            many[name].append(drive(words, 50, 16, requests)[0])
            server[name].append((cpu() - before) / requests * 1e6)
            numbers = drive(words, 1, 1, requests // 10)
            one_by_one[name].append(numbers[0])
            latency[name].append(numbers[1])
    errors = redis("INFO", "errorstats").split()[2:]

    def median(values: list[float]) -> float:
        return sorted(values)[len(values) // 2]

    ours_many, get = median(many["this script, one limit"]), median(latency["GET"])
    print("redis-benchmark on the same cores, seven rounds in turn, medians; 10,000 keys\n")
    print("| call | calls/s, 50 clients, 16 in a pipeline | this script ÷ it | CPU of the server, µs/call | calls/s, 1 client | latency of 1 client, ms | of GET |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in rows:
        alone = median(latency[name])
        print(
            f"| {name} | {median(many[name]):.0f} | {ours_many / median(many[name]):.2f} | {median(server[name]):.1f} "
            f"| {median(one_by_one[name]):.0f} | {alone:.3f} | {alone / get:.2f} |"
        )
    in_process(redis, ours_many)
    print(f"\nerrors of the server: {' '.join(errors) or 'none'}")
    redis.end()
    return True


def in_process(redis: Redis, ceiling: float) -> None:
    """The gate itself, in a process of its own, beside a client that pipelines on one connection."""
    program = os.environ.get("SHARED")
    if not program:
        return
    before = redis.calls()
    output = subprocess.run([program, f"redis://127.0.0.1:{redis.port}"], capture_output=True, text=True, check=True)
    found = json.loads(output.stdout)
    print("\nin process, 512 requests at once, or one alone; the client pipelines on one connection; five rounds in turn, medians\n")
    print("| call | a second | of this script in redis-benchmark | one alone, µs | of GET |")
    print("| --- | --- | --- | --- | --- |")
    for name, many, one in (("a decision of the gate", "decisions", "decision_us"), ("plain GCRA script", "plain_scripts", "plain_us"), ("GET", "gets", "get_us")):
        print(f"| {name} | {found[many]} | {found[many] / ceiling:.2f} | {found[one]} | {found[one] / found['get_us']:.2f} |")
    print(f"\nnot admitted: {found['not_admitted']}; script calls meanwhile: {redis.calls() - before}")


def main() -> int:
    what = sys.argv[1] if len(sys.argv) > 1 else "hot"
    print(f"{subprocess.run([SERVER, '--version'], capture_output=True, text=True).stdout.strip()}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        match what:
            case "hot":
                fine = asyncio.run(hot(folder, float(sys.argv[2]) if len(sys.argv) > 2 else 60))
            case "faults":
                fine = asyncio.run(faults(folder, float(sys.argv[2]) if len(sys.argv) > 2 else 6))
            case "speed":
                fine = speed(folder, int(sys.argv[2]) if len(sys.argv) > 2 else 200_000)
            case _:
                print("shared hot|faults|speed", file=sys.stderr)
                return 2
        for log in ("log", "cluster.log"):
            kept = os.environ.get("KEEP_LOG")
            if kept and (folder / log).exists():
                shutil.copy(folder / log, f"{kept}.{log}")
    return 0 if fine else 1


sys.exit(main())
