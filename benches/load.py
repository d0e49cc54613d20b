"""The load generators, h2load and wrk, and what they say."""

import json
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from harness import CHECK, PASSWORD, ROOT, tool

SCRIPTS = ROOT / "benches"
GRPC = ["-H", "content-type: application/grpc", "-H", "te: trailers"]

# What a browser sends along; the same as in kit/body.rs.
BROWSER = {
    "accept": "application/json, text/plain, */*",
    "accept-encoding": "gzip, deflate, br, zstd",
    "accept-language": "en-GB,en;q=0.9,de;q=0.7",
    "cache-control": "no-cache",
    "cookie": "theme=dark; session_hint=8f14e45fceea167a5a36dedd4bea2543; consent=1",
    "origin": "https://shop.example.com",
    "priority": "u=1, i",
    "referer": "https://shop.example.com/orders",
    "sec-fetch-dest": "empty",
    "sec-fetch-mode": "cors",
    "sec-fetch-site": "same-origin",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
PATH = "/api/v2/orders/8812?expand=lines&locale=en"


class Failed(RuntimeError):
    pass


def run(command: list[str], seconds: float = 180) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def h2load(arguments: list[str]) -> tuple[str, int]:
    """Returns the output and the number of 2xx, which must be all."""
    output = run([tool("h2load"), *arguments])
    done = re.search(r"requests: (\d+) total.* (\d+) succeeded, (\d+) failed", output)
    if not done or int(done[3]) or int(done[2]) == 0:
        raise Failed(output)
    return output, int(done[2])


def check(port: int, body: Path, count: int, connections: int = 4, streams: int = 10) -> float:
    """Asks `count` times over gRPC; returns the checks per second."""
    arguments = ["-n", str(count), "-c", str(connections), "-m", str(streams), "-d", str(body)]
    output, _ = h2load([*arguments, *GRPC, f"http://127.0.0.1:{port}{CHECK}"])
    return float(re.search(r"finished in .*, ([\d.]+) req/s", output)[1])


def paced(arguments: list[str], url: str, rate: float, seconds: float, clients: int) -> list[float]:
    """At a steady rate; returns all latencies in milliseconds, sorted."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        pace = ["-D", str(seconds), "-c", str(clients), "-m", "1", "--log-file", str(log)]
        h2load([*pace, "--rps", f"{rate / clients:.1f}", *arguments, url])
        lines = log.read_text().splitlines()
    return sorted(int(line.split("\t")[2]) / 1000 for line in lines)


def paced_checks(port: int, body: Path, rate: float, seconds: float) -> list[float]:
    url = f"http://127.0.0.1:{port}{CHECK}"
    return paced(["-d", str(body), *GRPC], url, rate, seconds, 8)


def paced_requests(port: int, token: str, rate: float, seconds: float) -> list[float]:
    """Through Envoy, with one token."""
    headers = {**BROWSER, "authorization": f"Bearer {token}"}
    arguments = ["--h1"]
    for name, value in headers.items():
        arguments += ["-H", f"{name}: {value}"]
    return paced(arguments, f"http://127.0.0.1:{port}{PATH}", rate, seconds, 8)


def wrk(
    script: str, url: str, connections: int, arguments: list[str], seconds: float = 120, nice: int = 0
) -> dict:
    """Runs a script that prints one JSON object at the end."""
    command = ["nice", "-n", str(nice), tool("wrk"), "-t", "1", "-c", str(connections), "-d", f"{seconds:.0f}s"]
    command += ["--timeout", "10s", "-s", str(SCRIPTS / script), url, "--", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        wake_when_done(process)
        output, _ = process.communicate(timeout=seconds + 60)
    return json.loads(output[output.index("{") :].splitlines()[0])


def wake_when_done(process: subprocess.Popen) -> None:
    """wrk's main thread sleeps until its time is over, also when its script has ended the thread
    that does the work. SIGINT makes it write its report at once."""
    tasks = Path(f"/proc/{process.pid}/task")
    working = False
    while process.poll() is None:
        # The thread that works has number two.
        threads = len(list(tasks.iterdir())) if tasks.exists() else 0
        if working and threads == 1:
            process.send_signal(signal.SIGINT)
        working = working or threads > 1
        time.sleep(0.01)


# What a proxy adds when it asks over HTTP.
FORWARDED = {
    "x-forwarded-method": "GET",
    "x-forwarded-host": "shop.example.com",
    "x-forwarded-proto": "https",
    "x-forwarded-uri": PATH,
}


def tokens(port: int, file: Path, first: int, count: int, status: int, forwarded: bool = False) -> dict:
    """One request for each of `count` tokens of a file, each answered with `status`: through Envoy,
    or straight to the HTTP door."""
    path = "/authz/forward-auth" if forwarded else PATH
    url = f"http://127.0.0.1:{port}{path}"
    headers = BROWSER | (FORWARDED if forwarded else {})
    arguments = [str(file), str(first), str(count), json.dumps(headers)]
    done = wrk("tokens.lua", url, 16, arguments)
    answered = done["statuses"].get(str(status), 0)
    if answered < 0.999 * count:
        raise Failed(f"{file.name}: {done} instead of {count} times {status}")
    return done


def events(port: int, senders: int, seconds: float, first: int, pause_ms: int = 0, nice: int = 0) -> dict:
    """Events about one new user each, `senders` at once."""
    url = f"http://127.0.0.1:{port}/events/fusionauth"
    arguments = [str(first), PASSWORD, str(pause_ms)]
    done = wrk("events.lua", url, senders, arguments, seconds, nice)
    if done["refused"]:
        raise Failed(f"events were refused: {done}")
    return done


def percentile(values: list[float], part: float) -> float:
    return values[min(len(values) - 1, int(len(values) * part))]
