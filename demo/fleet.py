"""Three replicas, three NATS servers, Envoy in front: where they listen, how they start and end."""

import base64
import http.client
import json
import os
import signal
import sys
import threading
import time
import uuid

from parts import ROOT, TOOLS, Parts, request

NUMBERS = (1, 2, 3)
CUT_OFF = 3  # the replica that is behind a wire

WISHES = {
    "envoy": 8080,
    "envoy_events": 8081,
    "envoy_admin": 9901,
    "idp": 8000,
    "backend": 9000,
    **{f"nats-{n}": 4221 + n for n in NUMBERS},
    **{f"route-{n}": 6221 + n for n in NUMBERS},
    **{f"monitor-{n}": 8221 + n for n in NUMBERS},
    **{f"wire-{n}": 4231 + n for n in NUMBERS},
    **{
        f"{door}-{n}": base + 10 * n
        for n in NUMBERS
        for door, base in (("ext_authz", 9191), ("forward_auth", 9192), ("events", 9193), ("admin", 9194))
    },
}


class Fleet(Parts):
    """`changes` are made to what each replica runs."""

    def __init__(self, changes: dict[str, str] | None = None) -> None:
        super().__init__(WISHES)
        self.changes = changes or {}
        self.authorization = "Basic " + base64.b64encode(f"hooks:{self.password}".encode()).decode()

    def start_all(self) -> None:
        ports, python = self.ports, [sys.executable, "-u"]
        self.start("idp", [*python, ROOT / "demo/idp.py", ports["idp"]])
        self.start("backend", [*python, ROOT / "demo/backend.py", ports["backend"]])
        pairs = [f"{ports[f'wire-{n}']}={ports[f'nats-{n}']}" for n in NUMBERS]
        self.start("wire", [*python, ROOT / "demo/wire.py", *pairs])
        self.wait("idp", ports["idp"], "/jwks.json")
        self.wait("backend", ports["backend"], "/")
        self.start_engine()
        self.start_replicas()
        self.start_envoy()

    def start_engine(self) -> None:
        for number in NUMBERS:
            self.start_nats(number)
        for number in NUMBERS:
            self.wait(f"nats-{number}", self.ports[f"monitor-{number}"], "/healthz")

    def start_replicas(self) -> None:
        self.write("hook-password", self.password)
        for number in NUMBERS:
            self.launch_replica(number)
        for number in NUMBERS:
            self.wait_for_replica(number)

    def start_nats(self, number: int) -> None:
        ports, name = self.ports, f"nats-{number}"
        routes = ", ".join(f'"nats://127.0.0.1:{ports[f"route-{n}"]}"' for n in NUMBERS)
        self.write(f"{name}.conf", f"""
server_name: {name}
listen: 127.0.0.1:{ports[name]}
http: 127.0.0.1:{ports[f"monitor-{number}"]}
jetstream {{ store_dir: "{self.home}/{name}", sync_interval: always }}
# Without no_advertise the servers tell clients of each other, and the replica that is cut off
# would go around its wire.
cluster {{ name: demo, listen: "127.0.0.1:{ports[f"route-{number}"]}", routes: [{routes}], no_advertise: true }}
""")
        self.start(name, [TOOLS / "nats-server", "-c", self.home / f"{name}.conf"])

    def launch_replica(self, number: int) -> None:
        ports, name = self.ports, f"replica-{number}"
        way = "wire" if number == CUT_OFF else "nats"
        servers = ", ".join(f'"nats://127.0.0.1:{ports[f"{way}-{n}"]}"' for n in NUMBERS)
        self.shipped("demo/replica.yaml", {
            **self.changes,
            "@HOME@": self.home, "@IDP@": ports["idp"], "@NUMBER@": number, "@SERVERS@": servers,
            **{f"@{door.upper()}@": ports[f"{door}-{number}"]
               for door in ("ext_authz", "forward_auth", "events", "admin")},
        })
        (self.home / "replica.yaml").rename(self.home / f"{name}.yaml")
        program = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug/portcullis"
        self.start(name, [program, "serve", "--config", self.home / f"{name}.yaml"])

    def wait_for_replica(self, number: int) -> None:
        self.wait(f"replica-{number}", self.ports[f"admin-{number}"], "/readyz")

    def is_unready(self, number: int) -> bool:
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            if request(self.ports[f"admin-{number}"], "/readyz")[0] == 503:
                return True
        return False

    def start_envoy(self) -> None:
        ports = self.ports
        self.shipped("deploy/compose/envoy.yaml", {
            "address: 127.0.0.1, port_value: 9901": f"address: 127.0.0.1, port_value: {ports['envoy_admin']}",
            "address: 0.0.0.0, port_value: 8080": f"address: 127.0.0.1, port_value: {ports['envoy']}",
            "address: 0.0.0.0, port_value: 8081": f"address: 127.0.0.1, port_value: {ports['envoy_events']}",
            "address: legacy, port_value: 8000": f"address: 127.0.0.1, port_value: {ports['backend']}",
            **{f"address: portcullis-{n}, port_value: {port}": f"address: 127.0.0.1, port_value: {ports[f'{door}-{n}']}"
               for n in NUMBERS for door, port in (("ext_authz", 9191), ("events", 9193))},
        })
        # In containers every replica has the same port for its health, here each has its own.
        text = (self.home / "envoy.yaml").read_text()
        for number in NUMBERS:
            text = text.replace("{ port_value: 9194 }", f"{{ port_value: {ports[f'admin-{number}']} }}", 1)
        self.write("envoy.yaml", text)
        self.start("envoy", [
            TOOLS / "envoy", "-c", self.home / "envoy.yaml", "--concurrency", 1,
            "--disable-hot-restart", "--log-level", "warn",
        ])
        self.wait("envoy", ports["envoy_admin"], "/ready")

    def leader(self) -> int | None:
        """The number of the server that leads the stream."""
        for number in NUMBERS:
            status, body = request(self.ports[f"monitor-{number}"], "/jsz?accounts=true&streams=true")
            if status != 200:
                continue
            for account in json.loads(body).get("account_details", []):
                for stream in account.get("stream_detail", []):
                    name = stream.get("cluster", {}).get("leader", "")
                    if name.startswith("nats-"):
                        return int(name[-1])
        return None

    def cut(self, is_cut: bool) -> None:
        self.running["wire"].send_signal(signal.SIGSTOP if is_cut else signal.SIGCONT)

    def __exit__(self, kind, value, trace) -> None:
        if "wire" in self.running:
            self.cut(False)  # a stopped process does not hear SIGTERM
        super().__exit__(kind, value, trace)

    def deliver(self, subject: str, number: int, event_id: str | None = None) -> bool:
        """The identity provider says to one replica that a user was locked. True: acknowledged."""
        event = {
            "type": "user.deactivate",
            "id": event_id or str(uuid.uuid4()),
            "createInstant": int(time.time() * 1000),
            "user": {"id": subject},
        }
        headers = {"content-type": "application/json", "authorization": self.authorization}
        port = self.ports[f"events-{number}"]
        return request(port, "/events/fusionauth", "POST", headers, json.dumps({"event": event}))[0] // 100 == 2


class Client:
    """Asks one replica itself, on a connection that stays open."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.port = fleet.ports[f"forward_auth-{number}"]
        self.connection = None

    def check(self, token: str) -> int:
        headers = {
            "authorization": f"Bearer {token}", "x-forwarded-method": "GET", "x-forwarded-uri": "/orders",
        }
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            self.connection.request("GET", "/authz/forward-auth", headers=headers)
            answer = self.connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            self.connection = None
            return 0

    def until(self, token: str, status: int, patience: float = 40) -> float | None:
        """When the answer was first this status; `None` if it never was."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.check(token) == status:
                return time.monotonic()
        return None


class Load(threading.Thread):
    """Locks one user after another, and remembers whose event was acknowledged, and when."""

    def __init__(self, fleet: Fleet, subjects: list[str]) -> None:
        super().__init__(daemon=True)
        self.fleet, self.subjects = fleet, subjects
        self.acknowledged: list[tuple[str, float]] = []
        self.over = threading.Event()

    def run(self) -> None:
        for replica, subject in enumerate(self.subjects):
            if self.over.wait(0.02):
                return
            event_id = str(uuid.uuid4())
            while not self.fleet.deliver(subject, NUMBERS[replica % 3], event_id) and not self.over.is_set():
                replica += 1
                time.sleep(0.02)
            if not self.over.is_set():
                self.acknowledged.append((subject, time.monotonic()))

    def wait_for(self, more: int, since: float) -> float | None:
        """When the `more`-th acknowledgement after this moment came."""
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            times = [at for _, at in list(self.acknowledged) if at > since]
            if len(times) >= more:
                return times[more - 1]
            time.sleep(0.02)
        return None

    def stop(self) -> list[str]:
        self.over.set()
        self.join()
        return [subject for subject, _ in self.acknowledged]
