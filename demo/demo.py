"""Shows what Portcullis does, on real proxies, in a minute. Exit code 0 if all is as it should be.

A line each: what was tried, the HTTP status, whether that is right.
"""

import base64
import json
import signal
import sys
import time
import uuid

from parts import Broken, Parts, request


class Show:
    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.wrong = 0
        self.revoked_at = 0  # seconds since the epoch

    def line(self, what: str, status: int, right: bool, note: str = "") -> None:
        self.wrong += not right
        verdict = "PASS" if right else "FAIL"
        print(f"  {status:>3}  {verdict}  {what}{f'  ({note})' if note else ''}", flush=True)

    def login(self, subject: str) -> str:
        return request(self.parts.ports["idp"], f"/token?sub={subject}")[1]

    def call(self, edge: str, token: str | None, path: str = "/orders", **headers: str) -> tuple[int, str]:
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return request(self.parts.ports[edge], path, headers=headers)

    def expect(self, edge: str, what: str, expected: int, token: str | None, **more: str) -> None:
        status, body = self.call(edge, token, **more)
        note = f"the back end greets {json.loads(body)['hello']}" if status == 200 else ""
        self.line(f"{edge}: {what}", status, status == expected, note)

    def webhook(self, subject: str) -> int:
        """The identity provider says that somebody's password was changed."""
        event = {
            "type": "user.password.update",
            "id": str(uuid.uuid4()),
            "createInstant": int(time.time() * 1000),
            "user": {"id": subject},
        }
        headers = {"content-type": "application/json", "authorization": basic(self.parts.password)}
        body = json.dumps({"event": event})
        return request(self.parts.ports["events"], "/events/fusionauth", "POST", headers, body)[0]


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"hooks:{password}".encode()).decode()


def tampered(token: str) -> str:
    """One letter of the claims changed."""
    at = token.index(".") + 10
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]


def revoke(show: Show, alice: str) -> None:
    started = time.monotonic()
    status = show.webhook("alice")
    acknowledged = time.monotonic()
    show.revoked_at = int(time.time())
    show.line("webhook: alice's password was changed", status, 200 <= status < 300)
    status, _ = show.call("envoy", alice)
    refused = time.monotonic()
    note = (
        f"{(refused - started) * 1000:.1f} ms after the webhook was sent, "
        f"{(acknowledged - started) * 1000:.1f} of them until it was durable"
    )
    show.line("envoy: the same token, the very next request", status, status == 401, note)


def crash(show: Show, alice: str, bob: str) -> None:
    show.parts.kill_9("portcullis")
    show.expect("envoy", "Portcullis killed with -9: nobody passes, and nobody's token is blamed", 503, bob)
    started = time.monotonic()
    show.parts.start_portcullis()
    took = (time.monotonic() - started) * 1000
    status, _ = show.call("envoy", alice)
    show.line("envoy: started again, alice's old token", status, status == 401, f"ready in {took:.0f} ms")
    show.expect("envoy", "bob's token", 200, bob)


def next_second(show: Show) -> None:
    print("  (tokens say when they were issued in whole seconds, so a login in the very second of the")
    print("   event is refused too: waiting for the next second)")
    while int(time.time()) <= show.revoked_at:
        time.sleep(0.01)


def story(show: Show) -> None:
    alice, bob = show.login("alice"), show.login("bob")
    show.expect("envoy", "a good token", 200, alice)
    show.expect("envoy", "no token", 401, None)
    show.expect("envoy", "a tampered token", 401, tampered(alice))
    show.expect("envoy", "an exempt path without a token, a spoofed identity", 200, None,
                path="/healthz", **{"x-portcullis-subject": "root"})
    revoke(show, alice)
    show.expect("envoy", "another user", 200, bob)
    crash(show, alice, bob)
    next_second(show)
    again = show.login("alice")
    show.expect("envoy", "alice after a new login", 200, again)
    show.expect("nginx", "a good token", 200, again)
    show.expect("nginx", "a good token, a spoofed identity", 400, again, **{"x-portcullis-subject": "root"})
    show.expect("nginx", "no token", 401, None)
    show.expect("nginx", "a tampered token", 401, tampered(again))
    show.expect("nginx", "the revoked token", 401, alice)
    show.expect("nginx", "another user", 200, bob)


def keep(parts: Parts) -> None:
    ports = parts.ports
    print(f"""
Still running. Try, in another terminal:

  TOKEN=$(curl -s 'http://127.0.0.1:{ports["idp"]}/token?sub=carol')
  curl -i -H "authorization: Bearer $TOKEN" http://127.0.0.1:{ports["envoy"]}/orders
  curl -i -H "authorization: Bearer $TOKEN" http://127.0.0.1:{ports["nginx"]}/orders
  curl -i -u 'hooks:{parts.password}' -H 'content-type: application/json' \\
    -d '{{"event":{{"type":"user.deactivate","id":"'$(uuidgen || echo $RANDOM)'","createInstant":'$(date +%s%3N)',"user":{{"id":"carol"}}}}}}' \\
    http://127.0.0.1:{ports["events"]}/events/fusionauth
  curl -s http://127.0.0.1:{ports["admin"]}/readyz
  curl -s http://127.0.0.1:{ports["admin"]}/metrics
  tail -f {parts.home}/envoy.log {parts.home}/portcullis.log

Ctrl-C ends everything.""", flush=True)
    signal.pause()


def main() -> int:
    with Parts() as parts:
        print("Starting: identity provider, legacy back end, Portcullis, Envoy, nginx", flush=True)
        parts.start_all()
        show = Show(parts)
        story(show)
        print(f"{show.wrong} of the lines above are wrong" if show.wrong else "All as it should be", flush=True)
        if show.wrong:
            parts.show_logs()
        if "--keep" in sys.argv:
            keep(parts)
        return 1 if show.wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
    except Broken as broken:
        sys.exit(f"demo: {broken}")
