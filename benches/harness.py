"""The programs that the bench starts, and what can be read of them while they run."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".cache/tools/bin"
RELEASE = ROOT / "target/release"
# The program that is measured.
SERVER = ROOT / os.environ.get("PORTCULLIS", RELEASE / "portcullis")
PASSWORD = "correct-horse-battery-staple"
ISSUER = "https://id.example.com"
SHORT_LIVED = "https://short.example.com"
CHECK = "/envoy.service.auth.v3.Authorization/Check"


def tool(name: str) -> str:
    linked = TOOLS / name
    found = str(linked) if linked.exists() else shutil.which(name)
    if not found:
        raise SystemExit(f"{name} is missing: run tools/setup proxies bench")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kit(*args: object) -> dict:
    """Runs a probe of the bench's own tool and reads its answer."""
    command = [str(RELEASE / "examples/kit"), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout) if done.stdout.startswith("{") else {}


def cpu_of(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


class Program:
    """A child process; its output goes to a file."""

    def __init__(self, work: Path, name: str, command: list[str], workers: int | None = None) -> None:
        environment = dict(os.environ)
        if workers:
            environment["TOKIO_WORKER_THREADS"] = str(workers)
        self.output = work / f"{name}.log"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
            )
        self.pid = self.process.pid

    def cpu(self) -> float:
        """Seconds of processor time, in user and in system mode, of all threads so far. To the
        nanosecond, where /proc/PID/stat counts in hundredths of a second."""
        return cpu_of(self.pid)

    def rss(self) -> int:
        """Bytes in memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def wait_for(self, what: str, condition, seconds: float = 120, pause: float = 0.002) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if not self.alive() or time.monotonic() > deadline:
                raise RuntimeError(f"never {what}:\n{self.output.read_text()[-3000:]}")
            time.sleep(pause)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Bar(Program):
    """A server to compare with, on a TCP port or a unix socket."""

    def __init__(self, work: Path, program: str, address: str, *arguments: object) -> None:
        name = f"{program}_" + address.rsplit("/", 1)[-1].replace(":", "_")
        verb = ["serve"] if arguments else []
        command = [str(RELEASE / "examples" / program), *verb, address, *map(str, arguments)]
        super().__init__(work, name, command, workers=1)
        if address.startswith("unix:"):
            self.wait_for("listens", lambda: Path(address[5:]).exists())
        else:
            self.port = int(address.rsplit(":", 1)[1])
            self.wait_for("listens", lambda: accepts(self.port))


class AllowAll(Bar):
    """The first bar: answers OK without looking."""

    def __init__(self, work: Path, address: str) -> None:
        super().__init__(work, "allow_all", address)


class Obvious(Bar):
    """The second bar: the server that one would write first, from the same crates."""

    def __init__(self, work: Path, address: str, jwks: Path, live: int) -> None:
        super().__init__(work, "obvious", address, jwks, live)


class Blind(Program):
    """The bar for events: answers them without looking."""

    def __init__(self, work: Path) -> None:
        self.port = free_port()
        super().__init__(work, "blind", [str(RELEASE / "examples/kit"), "answer", f"127.0.0.1:{self.port}"])
        self.wait_for("listens", lambda: accepts(self.port))


class Portcullis(Program):
    """The real server with a real configuration."""

    def __init__(
        self,
        work: Path,
        name: str,
        jwks: Path,
        data: Path,
        cache: str = "64MiB",
        workers: int | None = 1,
        short_lived: bool = False,
        policies: list | None = None,
        secret: str | None = None,
    ) -> None:
        self.ports = {door: free_port() for door in ("ext_authz", "forward_auth", "events", "admin")}
        self.port = self.ports["ext_authz"]
        self.socket = work / f"{name}.sock"
        listen = {door: f"127.0.0.1:{port}" for door, port in self.ports.items()}
        listen["ext_authz"] = [listen["ext_authz"], f"unix:{self.socket}"]
        config = {
            "listen": listen,
            "issuers": [
                {
                    "issuer": ISSUER,
                    "jwks": {"file": str(jwks)},
                    "audiences": ["shop-api"],
                    "max_token_lifetime": "24h",
                }
            ],
            "cache": {"max_size": cache},
            "events": [
                {
                    "name": "fusionauth",
                    "format": "fusionauth",
                    "issuer": ISSUER,
                    "auth": {"basic": {"username": "hooks", "password": PASSWORD}},
                }
            ],
            "revocations": {
                "store": {"embedded": {"path": str(data)}},
                "warn_live_per_shape": 100_000_000,
            },
        }
        if secret:
            config["admin"] = {"credentials": [{"name": "bench", "role": "read", "secret": secret}]}
        self.secret = secret
        if policies:
            config["policies"] = policies
        if short_lived:
            # Events are about the tokens of another issuer, and are forgotten within minutes.
            issuer = {"issuer": SHORT_LIVED, "jwks": {"file": str(jwks)}, "audiences": ["shop-api"]}
            config["issuers"].append(issuer | {"max_token_lifetime": "30s", "leeway": "1s"})
            config["events"][0]["issuer"] = SHORT_LIVED
        file = work / f"{name}.yaml"
        file.write_text(json.dumps(config))
        started = time.monotonic()
        command = [str(SERVER), "serve", "--config", str(file)]
        super().__init__(work, name, command, workers)
        self.wait_for("ready", self.ready)
        self.start_seconds = time.monotonic() - started

    def ready(self) -> bool:
        try:
            return self.admin("/readyz") is not None
        except (urllib.error.URLError, OSError):
            return False

    def admin(self, path: str) -> str:
        headers = {"authorization": f"Bearer {self.secret}"} if self.secret else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['admin']}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def decisions(self) -> dict[str, int]:
        """By reason; `permit` for those that pass."""
        counts = {}
        for line in self.admin("/metrics").splitlines():
            if line.startswith("portcullis_decisions_total{"):
                # An exemplar may follow the value.
                labels, value = line.split(" # ")[0].rsplit(" ", 1)
                outcome = labels.split('outcome="')[1].split('"')[0]
                reason = labels.split('reason="')[1].split('"')[0]
                counts[reason or outcome] = int(value)
        return counts


class Envoy(Program):
    """One real Envoy, one worker, with a listener per way to decide; none has an upstream."""

    def __init__(self, work: Path, ways: dict[str, list[dict]], clusters: list[dict]) -> None:
        self.ports = {way: free_port() for way in ways}
        listeners = [listener(way, self.ports[way], filters) for way, filters in ways.items()]
        config = {"static_resources": {"listeners": listeners, "clusters": clusters}}
        file = work / "envoy.yaml"
        file.write_text(json.dumps(config))
        command = [tool("envoy"), "-c", str(file), "--concurrency", "1", "--log-level", "warn"]
        super().__init__(work, "envoy", [*command, "--disable-hot-restart"])
        for port in self.ports.values():
            self.wait_for("listens", lambda port=port: accepts(port), pause=0.05)


def typed(name: str, kind: str, **config: object) -> dict:
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **config}}


def listener(way: str, port: int, filters: list[dict]) -> dict:
    http = "envoy.extensions.filters.http"
    router = typed("envoy.filters.http.router", f"{http}.router.v3.Router")
    answer = {"status": 200, "body": {"inline_string": "ok"}}
    route = {"match": {"prefix": "/"}, "direct_response": answer}
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=way,
        normalize_path=True,
        merge_slashes=True,
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        http_filters=[*filters, router],
    )
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": way, "address": address, "filter_chains": [{"filters": [manager]}]}


def ext_authz(cluster: str, headers: list[str] | None) -> dict:
    """As in envoy/envoy.yaml; `headers` are those that go along, all of them without it."""
    config: dict = {
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": cluster}, "timeout": "3s"},
        "status_on_error": {"code": 503},
    }
    if headers:
        patterns = [{"exact": name, "ignore_case": True} for name in headers]
        config["allowed_headers"] = {"patterns": patterns}
    kind = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
    return typed("envoy.filters.http.ext_authz", kind, **config)


def jwt_authn(jwks: str) -> dict:
    provider = {
        "issuer": ISSUER,
        "audiences": ["shop-api"],
        "local_jwks": {"inline_string": jwks},
        "forward": True,
    }
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "id"}}
    kind = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
    return typed("envoy.filters.http.jwt_authn", kind, providers={"id": provider}, rules=[rule])


def grpc_cluster(name: str, path: Path) -> dict:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {
        "@type": f"type.googleapis.com/{options}",
        "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 1000}},
    }
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(path)}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {options: http2},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def work_directory() -> Path:
    """On the disk of the repository: what is measured must not be a file system in memory."""
    base = ROOT / "target/bench"
    base.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=base))
