"""Portcullis against the server that one would write first (`benches/obvious.rs`)."""

import json

import load
from cases import LIVE, ROUNDS, Bench, cpu_of, in_turns, us
from harness import RELEASE, Envoy, Obvious, ext_authz, free_port, grpc_cluster
from load import run

CHECKS = 60_000
REQUESTS = 4000
BELOW = "≤ 1.00 × the obvious server"


def obvious(bench: Bench) -> None:
    repeat(bench)
    first_seen(bench)
    index(bench)


def compare(bench: Bench, case: str, medians: dict[str, float]) -> None:
    base, ours = medians["obvious"], medians["Portcullis"]
    bench.row(f"{case}, against the obvious server", us(base), us(ours), ours / base, BELOW, ours <= base)


def repeat(bench: Bench) -> None:
    servers = {
        "obvious": bench.keep(Obvious(bench.work, f"127.0.0.1:{free_port()}", bench.jwks, LIVE)),
        "Portcullis": bench.portcullis("second-bar", LIVE),
    }

    def cost(server):
        def go() -> None:
            load.check(server.port, bench.body, CHECKS)

        return lambda _: cpu_of([server], go) / CHECKS * 1e6

    medians = in_turns(ROUNDS, {name: cost(server) for name, server in servers.items()})
    compare(bench, "a token seen before", medians)
    bench.stop()


def first_seen(bench: Bench) -> None:
    """Through real Envoy, a new token in every request. Without its cache Portcullis keeps none.

    The names are those of clusters too, which Envoy sends as `:authority`: no spaces.
    """
    servers = {
        "obvious": bench.keep(Obvious(bench.work, f"unix:{bench.work / 'obvious.sock'}", bench.jwks, LIVE)),
        "Portcullis": bench.portcullis("caching", LIVE, cache="1GiB"),
        # One more revocation, because each process needs a directory of its own.
        "cacheless": bench.portcullis("cacheless", LIVE + 1, cache="0B"),
    }
    sockets = {"obvious": bench.work / "obvious.sock"}
    sockets |= {name: server.socket for name, server in servers.items() if name != "obvious"}
    clusters = [grpc_cluster(name, socket) for name, socket in sockets.items()]
    envoy = bench.keep(Envoy(bench.work, {name: [ext_authz(name, None)] for name in servers}, clusters))

    def cost(name: str, algorithm: str):
        file = bench.tokens / f"fresh-{algorithm.lower()}.txt"

        def run_once(number: int) -> float:
            def go() -> None:
                load.tokens(envoy.ports[name], file, number * REQUESTS, REQUESTS, 200)

            return cpu_of([servers[name]], go) / REQUESTS * 1e6

        return run_once

    for algorithm in ("ES256", "RS256"):
        medians = in_turns(ROUNDS, {name: cost(name, algorithm) for name in servers})
        compare(bench, f"a token seen for the first time, {algorithm}", medians)
        base, ours = medians["cacheless"], medians["Portcullis"]
        case = f"what remembering a first-seen {algorithm} token costs: with a cache against without"
        bench.row(case, us(base), us(ours), ours / base, "none", None)
    bench.stop()


def index(bench: Bench) -> None:
    theirs = json.loads(run([str(RELEASE / "examples/obvious"), "measure", str(LIVE)]))
    ours = json.loads(run([str(RELEASE / "examples/kit"), "index", "--live", str(LIVE)]))
    for what, key, unit in (
        ("memory per live revocation", "resident_bytes_each", "bytes"),
        ("look-up of a token", "look_up_ns", "ns"),
    ):
        base, value = theirs[key], ours[key]
        case = f"{what} at {LIVE:,}, against the obvious server's moka cache"
        bench.row(case, f"{base:.0f} {unit}", f"{value:.0f} {unit}", value / base, BELOW, value <= base)
