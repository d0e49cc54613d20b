"""The programs of the demo: where they listen, how they start, how they end."""

import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".cache/tools/bin"
PROGRAM = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug/portcullis"
PATIENCE = 30  # seconds

# Taken where they are free, so that the lines to try look the same every time.
WISHES = {
    "envoy": 8080,
    "nginx": 8081,
    "idp": 8000,
    "backend": 9000,
    "forward_auth": 9192,
    "events": 9193,
    "admin": 9194,
    "envoy_admin": 9901,
}


class Broken(Exception):
    """Something that the demo needs is not there."""


def free_ports(wishes: dict[str, int]) -> dict[str, int]:
    """The ports that are wished for, or others where those are taken. Held until all are found."""
    ports, held = {}, []
    for name, wish in wishes.items():
        for port in (wish, 0):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
                break
            except OSError:
                listener.close()
        held.append(listener)
        ports[name] = listener.getsockname()[1]
        if ports[name] != wish:
            print(f"  port {wish} is taken: {name} listens on {ports[name]}")
    for listener in held:
        listener.close()
    return ports


def request(port: int, path: str, method: str = "GET", headers: dict | None = None, body: str | None = None):
    """Status and body of one request; status 0 when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except OSError:
        return 0, ""
    finally:
        connection.close()


class Parts:
    """Everything that runs. Leaving the `with` ends it all and removes its files."""

    def __init__(self, wishes: dict[str, int] = WISHES) -> None:
        # Short, because the path of a unix socket has a limit.
        self.home = Path(tempfile.mkdtemp(prefix="portcullis-"))
        self.home.chmod(0o711)  # nginx's workers are another user
        self.ports = free_ports(wishes)
        self.password = secrets.token_urlsafe(24)
        self.running: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> "Parts":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        return self

    def __exit__(self, kind, value, trace) -> None:
        for process in reversed(self.running.values()):
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        if kind not in (None, KeyboardInterrupt):
            self.show_logs()
        shutil.rmtree(self.home, ignore_errors=True)

    def show_logs(self) -> None:
        for log in sorted(self.home.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-15:]
            print(f"--- {log.name}", *lines, sep="\n", file=sys.stderr)

    def start_all(self) -> None:
        ports = self.ports
        python = [sys.executable, "-u"]
        self.start("idp", [*python, ROOT / "demo/idp.py", ports["idp"]])
        self.start("backend", [*python, ROOT / "demo/backend.py", ports["backend"]])
        self.wait("idp", ports["idp"], "/jwks.json")
        self.wait("backend", ports["backend"], "/")
        self.write("hook-password", self.password)
        self.shipped("demo/portcullis.yaml", {
            "@HOME@": self.home, "@IDP@": ports["idp"], "@FORWARD_AUTH@": ports["forward_auth"],
            "@EVENTS@": ports["events"], "@ADMIN@": ports["admin"],
        })
        self.start_portcullis()
        self.start_envoy()
        self.start_nginx()

    def start_portcullis(self) -> None:
        self.start("portcullis", [PROGRAM, "serve", "--config", self.home / "portcullis.yaml"])
        self.wait("portcullis", self.ports["admin"], "/readyz")

    def start_envoy(self) -> None:
        ports = self.ports
        text = self.proxy_config("envoy")
        self.write("envoy.yaml", text.replace("port_value: 9901", f"port_value: {ports['envoy_admin']}"))
        self.start("envoy", [
            TOOLS / "envoy", "-c", self.home / "envoy.yaml", "--concurrency", 1,
            "--disable-hot-restart", "--log-level", "warn", "--file-flush-interval-msec", 100,
        ])
        self.wait("envoy", ports["envoy_admin"], "/ready")

    def start_nginx(self) -> None:
        self.write("nginx.conf", self.proxy_config("nginx"))
        self.start("nginx", [
            TOOLS / "nginx", "-p", self.home, "-c", self.home / "nginx.conf", "-g", "daemon off;",
        ])
        self.wait("nginx", self.ports["nginx"], "/nginx-health")

    def proxy_config(self, proxy: str) -> str:
        """What Portcullis prints for a proxy, with the demo's ports."""
        addresses = [f"--listen=127.0.0.1:{self.ports[proxy]}", f"--upstream=127.0.0.1:{self.ports['backend']}"]
        command = [PROGRAM, "proxy-config", proxy, "--config", self.home / "portcullis.yaml", *addresses]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def kill_9(self, name: str) -> None:
        self.running[name].kill()
        self.running[name].wait()

    def start(self, name: str, command: list) -> None:
        with open(self.home / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait(self, name: str, port: int, path: str) -> None:
        """Until it answers 200."""
        deadline = time.monotonic() + PATIENCE
        while request(port, path)[0] != 200:
            if self.running[name].poll() is not None:
                raise Broken(f"{name} ended at once")
            if time.monotonic() > deadline:
                raise Broken(f"{name} did not get ready in {PATIENCE} s")
            time.sleep(0.005)

    def shipped(self, file: str, replacements: dict) -> None:
        """Copies a configuration that is shipped, with the demo's ports and paths in it."""
        text = (ROOT / file).read_text()
        for old, new in replacements.items():
            if old not in text:
                raise Broken(f"{file} no longer contains {old!r}")
            text = text.replace(old, str(new))
        self.write(Path(file).name, text)

    def write(self, name: str, text: str) -> None:
        (self.home / name).write_text(text)
