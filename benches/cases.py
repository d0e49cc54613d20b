"""The cases. Servers that are compared take turns, and the median of all rounds counts."""

import json
import statistics
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import load
from harness import (
    AllowAll,
    Blind,
    Envoy,
    Portcullis,
    Program,
    ext_authz,
    free_port,
    grpc_cluster,
    jwt_authn,
    kit,
)
from load import percentile
from report import Row

ROUNDS = 5
LIVE = 1_000_000
# Headers that go along in envoy/envoy.yaml.
SHIPPED = ["authorization", "content-type", "traceparent", "tracestate"]


class Bench:
    """What the cases share: files, filled logs, running programs, results."""

    def __init__(self, work: Path, large: bool) -> None:
        self.work = work
        self.large = large
        self.tokens = work / "tokens"
        self.jwks = self.tokens / "jwks.json"
        self.body = self.tokens / "repeat.body"
        self.rows: list[Row] = []
        self.series: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
        self.programs: list[Program] = []
        self.logs: dict[int, Path] = {}

    def log(self, live: int) -> Path:
        """A directory with so many live revocations, filled once per run."""
        if live not in self.logs:
            path = self.work / f"data-{live}"
            if live:
                self.note(f"  {live} revocations written in {kit('fill', path, '--live', live)['seconds']:.1f} s")
            self.logs[live] = path
        return self.logs[live]

    def portcullis(self, name: str, live: int, **options: object) -> Portcullis:
        return self.keep(Portcullis(self.work, name, self.jwks, self.log(live), **options))

    def keep(self, program):
        self.programs.append(program)
        return program

    def stop(self) -> None:
        while self.programs:
            self.programs.pop().stop()

    def row(self, case: str, baseline: str, ours: str, ratio: float | None, target: str, holds: bool | None) -> None:
        row = Row(case, baseline, ours, ratio, target, holds)
        self.note(f"  {row}")
        self.rows.append(row)

    @staticmethod
    def note(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def cpu_of(programs: list[Program], run) -> float:
    """Seconds of processor time that `run` costs the programs."""
    before = sum(program.cpu() for program in programs)
    run()
    return sum(program.cpu() for program in programs) - before


def in_turns(rounds: int, runs: dict) -> dict[str, float]:
    """The median of what each returns."""
    values = defaultdict(list)
    for number in range(rounds):
        for name, run in runs.items():
            values[name].append(run(number))
    for name, all_values in values.items():
        Bench.note(f"    {name}: {' '.join(f'{value:.2f}' for value in all_values)}")
    return {name: statistics.median(all_values) for name, all_values in values.items()}


def us(value: float) -> str:
    return f"{value:.1f} µs"


def repeat(bench: Bench) -> None:
    """A token seen before, by the number of live revocations."""
    count = 60_000
    allow = bench.keep(AllowAll(bench.work, f"127.0.0.1:{free_port()}"))
    levels = [1000, 10_000, 100_000, LIVE] + ([10 * LIVE] if bench.large else [])
    servers = {live: bench.portcullis(f"live-{live}", live) for live in levels}

    def cost(server):
        def run(_: int) -> float:
            return cpu_of([server], lambda: load.check(server.port, bench.body, count)) / count * 1e6

        return run

    for server in (allow, *servers.values()):
        load.check(server.port, bench.body, 5000)
    runs = {"allow-all": cost(allow)} | {str(live): cost(server) for live, server in servers.items()}
    medians = in_turns(ROUNDS, runs)
    for server in servers.values():
        assert server.decisions()["permit"] >= count * ROUNDS
        assert sum(server.decisions().values()) == server.decisions()["permit"]
    base, ours = medians["allow-all"], medians[str(LIVE)]
    for live in levels:
        bench.series["cost"]["Portcullis"].append((live, medians[str(live)]))
        bench.series["cost"]["allow-all"].append((live, base))
    case = "a token seen before, 1,000,000 live revocations in four shapes"
    bench.row(case, us(base), us(ours), ours / base, "≤ 1.00 × allow-all", ours <= base)
    bench.stop()


def policies(bench: Bench) -> None:
    """A token seen before, without rules and with 200 of them, the last of which matches."""
    count = 60_000
    others = [
        {"name": f"service-{i}", "prefix": f"/api/v2/service-{i}", "scopes": [f"service-{i}"]} for i in range(1, 200)
    ]
    condition = 'claims.scope.contains("orders:read") && request.method in ["GET", "HEAD"]'
    orders = {"name": "orders", "path": "/api/v2/orders/{id}", "conditions": [condition]}
    rules = [rule | {"hosts": ["shop.example.com"]} for rule in [*others, orders]]
    servers = {"none": bench.portcullis("no-rules", 1000), "rules": bench.portcullis("rules", 1000, policies=rules)}

    def cost(server):
        return lambda _: cpu_of([server], lambda: load.check(server.port, bench.body, count)) / count * 1e6

    for server in servers.values():
        load.check(server.port, bench.body, 5000)
    medians = in_turns(ROUNDS, {name: cost(server) for name, server in servers.items()})
    for server in servers.values():
        assert sum(server.decisions().values()) == server.decisions()["permit"] >= count * ROUNDS
    base, ours = medians["none"], medians["rules"]
    case = "a token seen before, 200 rules and a CEL condition against no rules"
    bench.row(case, us(base), us(ours), ours / base, "≤ 1.15 × no rules", ours <= 1.15 * base)
    bench.stop()


def edge(bench: Bench) -> None:
    """Through real Envoy: tokens that take turns, tokens that are refused, the whole edge's cost."""
    allow = bench.keep(AllowAll(bench.work, f"unix:{bench.work / 'allow.sock'}"))
    ours = bench.portcullis("edge", LIVE, cache="1GiB")
    small = bench.portcullis("edge-small", 0)
    clusters = [
        grpc_cluster("allow", bench.work / "allow.sock"),
        grpc_cluster("ours", ours.socket),
        grpc_cluster("small", small.socket),
    ]
    ways = {
        "allow": [ext_authz("allow", None)],
        "ours": [ext_authz("ours", None)],
        "small": [ext_authz("small", None)],
        "allow-shipped": [ext_authz("allow", SHIPPED)],
        "ours-shipped": [ext_authz("ours", SHIPPED)],
        "jwt": [jwt_authn(bench.jwks.read_text())],
    }
    envoy = bench.keep(Envoy(bench.work, ways, clusters))
    rotate(bench, envoy, allow, ours, small)
    whole_edge(bench, envoy, allow, ours)
    bench.stop()


def rotate(bench: Bench, envoy: Envoy, allow: AllowAll, ours: Portcullis, small: Portcullis) -> None:
    size = 8000
    rotating = 200_000
    token = (bench.tokens / "repeat.txt").read_text().strip()
    (bench.tokens / "repeated.txt").write_text(f"{token}\n" * size)
    # Every live token twice, so that all are known and their answers are encoded.
    before = ours.rss()
    for _ in range(2):
        load.tokens(envoy.ports["ours"], bench.tokens / "rotating.txt", 0, rotating, 200)
    held = ours.rss() - before
    Bench.note(f"    {held / rotating:.0f} bytes of memory per token that is known")
    # The default cache cannot hold them; it is filled the faster way.
    port = small.ports["forward_auth"]
    load.tokens(port, bench.tokens / "rotating.txt", 0, rotating, 200, forwarded=True)

    def cost(server, way: str, name: str, status: int, count: int = size, stride: int | None = None):
        def run(number: int) -> float:
            file = bench.tokens / f"{name}.txt"

            def go() -> None:
                load.tokens(envoy.ports[way], file, number * (count if stride is None else stride), count, status)

            return cpu_of([server], go) / count * 1e6

        return run

    def bare(algorithm: str):
        """Beside the same load as the checks: what the other core does slows this one down."""

        def run(number: int) -> float:
            beside = threading.Thread(target=lambda: cost(allow, "allow", "fresh-es256", 200)(number))
            beside.start()
            value = kit("verify", bench.tokens, algorithm, "--count", 8000)["cpu_us"]
            beside.join()
            return value

        return run

    runs = {
        "allow": cost(allow, "allow", "fresh-es256", 200),
        "ES256": cost(ours, "ours", "fresh-es256", 200),
        "RS256": cost(ours, "ours", "fresh-rs256", 200, 4000),
        "bare ES256": bare("es256"),
        "bare RS256": bare("rs256"),
        "rotating": cost(ours, "ours", "rotating", 200, stride=40_000),
        "rotating, 64 MiB": cost(small, "small", "rotating", 200, stride=40_000),
        "repeat": cost(ours, "ours", "repeated", 200, stride=0),
        "garbage": cost(ours, "ours", "garbage", 401),
        "expired": cost(ours, "ours", "expired", 401),
        "bad signature": cost(ours, "ours", "bad-signature", 401),
        "revoked": cost(ours, "ours", "revoked", 401),
    }
    medians = in_turns(ROUNDS, runs)
    refused = ours.decisions()
    for reason in ("malformed_token", "expired", "bad_signature", "revoked"):
        assert refused[reason] >= size * ROUNDS, refused
    base = medians["allow"]
    for name in ("ES256", "RS256"):
        verification = medians[f"bare {name}"]
        limit = base + 1.1 * verification
        bench.row(
            f"a token seen for the first time, {name}",
            f"{us(base)} + 1.10 × {us(verification)} = {us(limit)}",
            us(medians[name]),
            medians[name] / limit,
            "≤ 1.00 × allow-all + 1.10 × bare verification",
            medians[name] <= limit,
        )
    value = medians["repeat"]
    case = "a token seen before, through Envoy: Portcullis alone"
    bench.row(case, us(base), us(value), value / base, "none", None)
    value = medians["rotating"]
    case = "200,000 live tokens in rotation, cache of 1 GiB"
    bench.row(case, us(base), us(value), value / base, "≤ 1.15 × allow-all", value <= 1.15 * base)
    value = medians["rotating, 64 MiB"]
    bench.row("the same with the default cache of 64 MiB", us(base), us(value), value / base, "none", None)
    value = medians["garbage"]
    bench.row("refused: garbage", us(base), us(value), value / base, "≤ 1.00 × allow-all", value <= base)
    first = medians["ES256"]
    for name in ("expired", "bad signature", "revoked"):
        value = medians[name]
        target = "≤ a good first-seen one (ES256)"
        bench.row(f"refused: {name}", us(first), us(value), value / first, target, value <= first)


def whole_edge(bench: Bench, envoy: Envoy, allow: AllowAll, ours: Portcullis) -> None:
    """Envoy's time counts too."""
    token = (bench.tokens / "repeat.txt").read_text().strip()
    repeated = bench.tokens / "repeated.txt"
    size = 8000
    fresh = bench.tokens / "fresh-es256.txt"
    rates = []

    def cost(way: str, programs: list[Program], file: Path, first: int):
        def run(number: int) -> float:
            def go() -> None:
                done = load.tokens(envoy.ports[way], file, first * number, size, 200)
                if way == "allow-shipped":
                    rates.append(done["requests"] / done["seconds"])

            return cpu_of([envoy, *programs], go) / size * 1e6

        return run

    medians = in_turns(
        ROUNDS,
        {
            "allow-all": cost("allow-shipped", [allow], repeated, 0),
            "ours": cost("ours-shipped", [ours], repeated, 0),
            "jwt_authn": cost("jwt", [], fresh, size),
        },
    )
    base, value = medians["jwt_authn"], medians["ours"]
    case = "Envoy + Portcullis over a unix socket, repeat token: CPU of both"
    target = "≤ Envoy with uncached jwt_authn, ES256"
    bench.row(case, us(base), us(value), value / base, target, value <= base)
    base = medians["allow-all"]
    bench.row("the same against Envoy + allow-all", us(base), us(value), value / base, "none", None)

    half = statistics.median(rates) / 2

    def slow(way: str):
        return lambda _: percentile(load.paced_requests(envoy.ports[way], token, half, 4), 0.99)

    medians = in_turns(ROUNDS, {"allow-all": slow("allow-shipped"), "ours": slow("ours-shipped")})
    base, value = medians["allow-all"], medians["ours"]
    case = f"the same at half load ({half:.0f} requests/s): 99th percentile"
    bench.row(case, f"{base:.2f} ms", f"{value:.2f} ms", value / base, "≤ 1.05 × allow-all's", value <= 1.05 * base)


def memory(bench: Bench) -> None:
    """Bytes and time per live revocation, of the index alone."""
    apply = {}
    for live in (1000, 10_000, 100_000, LIVE, 10 * LIVE):
        probe = kit("index", "--live", live)
        apply[live] = probe["apply_us"]
        bench.series["memory"]["bytes in use by the index"].append((live, probe["index_bytes_each"] * live / 2**20))
        if live >= 100_000:
            bench.series["memory"]["resident"].append((live, probe["resident_bytes_each"] * live / 2**20))
        if live >= LIVE:
            each = max(probe["resident_bytes_each"], probe["index_bytes_each"])
            case = f"memory per live revocation at {live:,}"
            bench.row(case, "", f"{each:.0f} bytes", None, "≤ 100 bytes", each <= 100)
            case = f"look-up of a token among {live:,} revocations"
            bench.row(case, "", f"{probe['look_up_ns']:.0f} ns", None, "none", None)
    few, many = apply[1000], apply[10 * LIVE]
    case = "an event is applied: 10,000,000 live revocations against 1,000"
    target = "independent of their number: ≤ 1 ms at the 99th percentile"
    bench.row(case, f"{few:.1f} µs", f"{many:.1f} µs", many / few, target, many <= 1000)


def start(bench: Bench) -> None:
    """From the spawn of the process to 200 from /readyz."""
    levels = [1000, 10_000, 100_000, LIVE // 2, LIVE] + ([10 * LIVE] if bench.large else [])
    resident = {}
    times = {}
    for live in levels:
        seconds = []
        for number in range(3):
            server = bench.portcullis(f"start-{live}-{number}", live, workers=None)
            seconds.append(server.start_seconds)
            resident[live] = server.rss()
            bench.stop()
        times[live] = statistics.median(seconds)
        bench.note(f"    {live}: {' '.join(f'{value:.3f}' for value in seconds)} s, RSS {resident[live] >> 20} MiB")
        bench.series["start"]["ready"].append((live, times[live]))
    value = times[LIVE]
    case = "start with 1,000,000 live revocations on disk → ready"
    bench.row(case, "", f"{value:.2f} s", None, "≤ 1 s", value <= 1)
    each = (resident[LIVE] - resident[1000]) / LIVE
    case = "the whole process' memory per live revocation right after that start"
    bench.row(case, "", f"{each:.0f} bytes", None, "none (the index: ≤ 100 bytes)", None)
    if bench.large:
        ratio = times[10 * LIVE] / times[LIVE]
        case = "start with 10,000,000"
        bench.row(case, f"{value:.2f} s", f"{times[10 * LIVE]:.2f} s", ratio, "linear: ≤ 11 ×", ratio <= 11)


def search(bench: Bench) -> None:
    """What an operator waits for among a million live revocations."""
    server = bench.portcullis("search", LIVE, workers=None, secret="a-secret-of-the-bench")
    # The first search would wait for the catalogue, which is built after the start.
    server.admin("/v1/revocations?limit=1")
    for case, query, found in (
        ("search for a user", "value=gone-4000", 1),
        ("search for a client with 250,000 revocations: the newest 100", "value=storefront", 100),
        ("the newest 100 revocations", "", 100),
        ("a revocation by its id", None, 1),
    ):
        path = f"/v1/revocations?{query}" if query is not None else f"/v1/revocations/{'0' * 8}-0000-0000-0000-{4000:012}"
        times = []
        for _ in range(ROUNDS):
            started = time.monotonic()
            answer = json.loads(server.admin(path))
            times.append((time.monotonic() - started) * 1000)
            assert len(answer["revocations"]) == found, answer
        value = statistics.median(times)
        bench.row(f"{case}, among {LIVE:,}", "", f"{value:.1f} ms", None, "≤ 200 ms", value <= 200)
    bench.stop()


def events(bench: Bench) -> None:
    """Durable events against what the disk allows, on the same disk in the same run."""
    server = bench.portcullis("events", 1000, workers=None)
    blind = bench.keep(Blind(bench.work))
    disk = bench.work
    rates, syncs, acks, storms, unseen = [], [], [], [], []
    refused, tails = [], []
    for number in range(3):
        rates.append(kit("sync", disk, "--seconds", 2)["per_second"])
        # As long apart as single events are.
        sync = kit("sync", disk, "--seconds", 2, "--pause", 3)
        syncs.append(sync["p50_ms"])
        tails.append(sync["p99_ms"])
        doors = ["--events", f"127.0.0.1:{server.ports['events']}"]
        doors += ["--forward-auth", f"127.0.0.1:{server.ports['forward_auth']}"]
        single = kit("refusal", bench.tokens, *doors, "--count", 400, "--from", 400 * number)
        acks.append(single["ack_p50_ms"])
        refused.append((single["refused_p50_ms"], single["refused_p99_ms"]))
        storm = load.events(server.ports["events"], 64, 3, 1_000_000 * number)
        storms.append(storm["per_second"])
        unseen.append(load.events(blind.port, 64, 3, 0)["per_second"])
        bench.note(f"    {sync} {single} {storm}")
    rate, storm = statistics.median(rates), statistics.median(storms)
    case = "durable events, 64 senders at once"
    target = "≥ 20 × one sync per event"
    bench.row(case, f"{rate:.0f}/s", f"{storm:.0f}/s", storm / rate, target, storm >= 20 * rate)
    value = statistics.median(unseen)
    case = "the same events, answered by an HTTP server that does not look at them"
    bench.row(case, f"{rate:.0f}/s", f"{value:.0f}/s", value / rate, "none", None)
    sync, ack = statistics.median(syncs), statistics.median(acks)
    case = "a single event's acknowledgement, median"
    bench.row(case, f"{sync:.2f} ms", f"{ack:.2f} ms", ack / sync, "≤ 1.5 × one sync", ack <= 1.5 * sync)
    middle = statistics.median(p50 for p50, _ in refused)
    tail = statistics.median(p99 for _, p99 in refused)
    limit = statistics.median(tails) + 1
    case = f"event sent → its token refused, idle, 99th percentile (median {middle:.2f} ms)"
    target = "≤ one sync + 1 ms, both at the 99th percentile"
    bench.row(case, f"{limit:.2f} ms", f"{tail:.2f} ms", tail / limit, target, tail <= limit)
    bench.stop()


def storm(bench: Bench) -> None:
    """Checks at a steady rate, with and without a stream of events."""
    server = bench.portcullis("storm", 100_000, workers=None)
    rate, seconds = 2000, 4
    achieved = []

    def quiet(_: int) -> float:
        return percentile(load.paced_checks(server.port, bench.body, rate, seconds), 0.99)

    def stormy(number: int) -> float:
        def send() -> None:
            # Senders are on other machines; here they take only what the rest leaves.
            port, first = server.ports["events"], 10_000_000 * (number + 1)
            done = load.events(port, 64, seconds + 2, first, pause_ms=5, nice=19)
            achieved.append(done["per_second"])

        sender = threading.Thread(target=send)
        sender.start()
        value = quiet(number)
        sender.join()
        return value

    medians = in_turns(ROUNDS, {"quiet": quiet, "events": stormy})
    base, value = medians["quiet"], medians["events"]
    case = f"checks ({rate}/s) while {statistics.median(achieved):.0f} events a second arrive: 99th percentile"
    target = "≤ 1.2 × without events (at 10,000 a second)"
    enough = statistics.median(achieved) >= 9000
    holds = value <= 1.2 * base and enough
    bench.row(case, f"{base:.2f} ms", f"{value:.2f} ms", value / base, target, holds)
    bench.stop()


def connections(bench: Bench) -> None:
    """Throughput by the number of connections; a curve, no target."""
    allow = bench.keep(AllowAll(bench.work, f"127.0.0.1:{free_port()}"))
    ours = bench.portcullis("connections", 1000)
    for number in (1, 2, 4, 8, 16, 32, 64):
        for name, server in (("allow-all", allow), ("Portcullis", ours)):
            rate = max(load.check(server.port, bench.body, 20_000, number) for _ in range(2))
            bench.series["connections"][name].append((number, rate))
    bench.stop()
