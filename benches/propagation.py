"""Measures three replicas on three NATS servers, and writes its table into docs/performance.md:
from an event to its refusal by every replica, and the joining of a replica that knows nothing.

    benches/propagation.py [--live 1000000] [--print]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from harness import ISSUER, ROOT, TOOLS, cpu_of, kit, work_directory
from report import Row, first_line, replace, table

sys.path.insert(0, str(ROOT / "demo"))
from fleet import NUMBERS, Fleet  # noqa: E402
from parts import Broken, request  # noqa: E402

BEGIN = "<!-- replicas: written by make bench-replicas -->"
END = "<!-- replicas: end -->"
JOINS = 2  # the replica that joins

# Events per second, how many of them, and of how many one is watched. A sender that is silent for ten
# seconds is hung up on, so the slowest round is shorter.
RATES = ((1, 27, 1), (100, 1000, 1), (2000, 20_000, 100))
ROUNDS = 3


def say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


class Site(Fleet):
    """Replicas and servers only, with tokens that the kit mints."""

    def __init__(self, tokens: Path) -> None:
        super().__init__({
            "  - issuer: http://127.0.0.1:@IDP@": f"  - issuer: {ISSUER}",
            "    issuer: http://127.0.0.1:@IDP@": f"    issuer: {ISSUER}",
            'jwks: { uri: "http://127.0.0.1:@IDP@/jwks.json" }   # plain http is for loopback only':
                f"jwks: {{ file: {tokens}/jwks.json }}   # and nobody listens at @IDP@",
            "max_token_lifetime: 1h": "max_token_lifetime: 24h",
        })
        # Nobody is cut off here.
        self.ports.update({f"wire-{n}": self.ports[f"nats-{n}"] for n in NUMBERS})
        self.tokens = tokens

    def doors(self, door: str) -> str:
        return ",".join(f"127.0.0.1:{self.ports[f'{door}-{n}']}" for n in NUMBERS)

    def servers(self) -> str:
        return ",".join(f"nats://127.0.0.1:{self.ports[f'nats-{n}']}" for n in NUMBERS)

    def metric(self, number: int, name: str) -> float:
        text = request(self.ports[f"admin-{number}"], "/metrics")[1]
        values = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(name))
        return sum(float(value) for _, value in values)

    def stop_replica(self, number: int) -> None:
        process = self.running[f"replica-{number}"]
        process.terminate()
        process.wait(30)

    def join(self, number: int) -> tuple[float, float]:
        """Seconds until it is ready, and seconds of processor time until then."""
        started = time.monotonic()
        self.launch_replica(number)
        self.wait_for_replica(number)
        return time.monotonic() - started, cpu_of(self.running[f"replica-{number}"].pid)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def propagation(site: Site, rows: list[Row]) -> None:
    first = 0
    for rate, count, watch in RATES:
        engine, ours = [], []
        for _ in range(ROUNDS):
            part = count // ROUNDS
            pace = ["--rate", rate, "--count", part]
            engine.append(kit("deliver", "--servers", site.servers(), *pace))
            ours.append(kit(
                "propagate", site.tokens, "--events", site.doors("events"),
                "--forward-auth", site.doors("forward_auth"), "--credentials", f"hooks:{site.password}",
                *pace, "--watch", watch, "--from", first,
            ))
            first += -(-part // watch)
            say(f"{rate}/s: JetStream {engine[-1]}, Portcullis {ours[-1]}")
        for part, name in (("p50_ms", "median"), ("p99_ms", "99th percentile")):
            ours_ms, engine_ms = median([one[part] for one in ours]), median([one[part] for one in engine])
            reached = median([one["per_second"] for one in ours])
            note = "" if reached > 0.95 * rate else f" ({reached:.0f} reached)"
            ratio = ours_ms / engine_ms
            rows.append(Row(
                f"event → refused by all three, {rate:,} events/s{note}, {name}", f"{engine_ms:.2f} ms",
                f"{ours_ms:.2f} ms", ratio, "≤ 1.50 × JetStream's publish → delivered", ratio <= 1.5,
            ))


def joining(site: Site, live: int, rows: list[Row]) -> None:
    say(f"filling the stream with {live:,} revocations")
    filled = kit("fill-stream", "--servers", site.servers(), "--live", live)
    say(f"filled in {filled['seconds']:.0f} s")
    deadline = time.monotonic() + 300
    while site.metric(1, "portcullis_revocations_feed_lag_records") != 0 and time.monotonic() < deadline:
        time.sleep(0.2)
    site.stop_replica(JOINS)
    for file in (site.home / f"replica-{JOINS}").iterdir():
        file.unlink()
    seconds, cpu = site.join(JOINS)
    read = site.metric(JOINS, "portcullis_revocations_replayed_total")
    say(f"joined in {seconds:.1f} s, {cpu:.1f} s of processor time, {read:,.0f} records")
    rows.append(Row(
        f"a new replica joins, {live:,} live revocations in as many messages: ready after", "",
        f"{seconds:.1f} s ({cpu:.1f} s CPU)", None, "≤ 10 s", seconds <= 10,
    ))
    settle(site)
    site.stop_replica(JOINS)
    seconds, cpu = site.join(JOINS)
    say(f"back in {seconds:.2f} s")
    rows.append(Row(
        "the same replica restarts with its copy: ready after", "", f"{seconds:.2f} s ({cpu:.1f} s CPU)",
        None, "≤ 2 s", seconds <= 2,
    ))


def settle(site: Site) -> None:
    """Until the copy of the one that joined is written."""
    pid, last = site.running[f"replica-{JOINS}"].pid, -1.0
    while (now := cpu_of(pid)) - last > 0.1:
        last = now
        time.sleep(1)


def versions() -> str:
    commit = first_line("git", "rev-parse", "--short", "HEAD")
    rustc = " ".join(first_line("rustc", "--version").split()[:2])
    nats = first_line(str(TOOLS / "nats-server"), "--version")
    return f"portcullis {commit}, {rustc}, {nats} with sync_interval: always, all on loopback"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--live", type=int, default=1_000_000, help="revocations that a new replica reads")
    parser.add_argument("--print", action="store_true", help="print the table and keep it nowhere")
    options = parser.parse_args()
    # On the disk of the repository: what is measured must not be a file system in memory.
    work = work_directory()
    tempfile.tempdir = str(work)
    kit("mint", work / "tokens", "--rotating", 1, "--fresh", 1, "--fresh-rsa", 1, "--rotations", 0)
    rows: list[Row] = []
    with Site(work / "tokens") as site:
        site.start_engine()
        site.start_replicas()
        propagation(site, rows)
        joining(site, options.live, rows)
    report = table(rows, versions)
    print(report)
    if not options.print:
        replace(ROOT / "docs/performance.md", BEGIN, END, report)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Broken as broken:
        sys.exit(f"bench: {broken}")
