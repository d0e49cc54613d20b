"""Three replicas of Portcullis on three NATS servers, behind Envoy: what each does when one of them
dies or is cut off, and that nothing acknowledged is lost. Exit code 0 if all is as it should be.
"""

import sys
import threading
import time

from fleet import CUT_OFF, NUMBERS, Client, Fleet, Load
from parts import Broken, request


class Show:
    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.wrong = 0

    def chapter(self, title: str) -> None:
        print(f"\n{title}", flush=True)

    def line(self, what: str, right: bool, note: str = "") -> None:
        self.wrong += not right
        print(f"  {'PASS' if right else 'FAIL'}  {what}{f'  ({note})' if note else ''}", flush=True)

    def login(self, subject: str) -> str:
        return request(self.fleet.ports["idp"], f"/token?sub={subject}")[1]

    def edge(self, token: str) -> int:
        return request(self.fleet.ports["envoy"], "/orders", headers={"authorization": f"Bearer {token}"})[0]

    def edge_all(self, token: str, times: int = 9) -> list[int]:
        return [self.edge(token) for _ in range(times)]

    def edge_until_all_are_asked(self, token: str) -> tuple[set[int], list[float]]:
        """The statuses, and the permits of each replica. Envoy begins its round anew with each replica that
        it hears from."""
        statuses: set[int] = set()
        deadline = time.monotonic() + 5
        while True:
            statuses |= set(self.edge_all(token))
            asked = [self.metric(n, 'portcullis_decisions_total{outcome="permit",reason=""}') for n in NUMBERS]
            if all(asked) or time.monotonic() > deadline:
                return statuses, asked

    def edge_settles(self, what: str, token: str, expected: int) -> None:
        """A replica that left is asked until Envoy notices; meanwhile some get 503, and nobody else."""
        seen, deadline = [], time.monotonic() + 10
        while time.monotonic() < deadline:
            statuses = self.edge_all(token)
            seen += statuses
            if set(statuses) == {expected}:
                break
        right = set(statuses) == {expected} and set(seen) <= {expected, 503}
        self.line(f"envoy: {what}", right, f"{seen.count(503)} of {len(seen)} requests got 503 until Envoy noticed")

    def metric(self, number: int, sample: str) -> float:
        text = request(self.fleet.ports[f"admin-{number}"], "/metrics")[1]
        values = (line.rsplit(" ", 1) for line in text.splitlines())
        return next((float(value[1]) for value in values if value[0] == sample), 0.0)

    def refused_by_all(self, tokens: list[str]) -> int:
        """How many are refused by each replica."""
        clients = [Client(self.fleet, number) for number in NUMBERS]
        return sum(all(client.check(token) == 401 for client in clients) for token in tokens)


def millis(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds * 1000:.1f} ms"


def spread(show: Show, bob: str) -> None:
    show.chapter("One event, sent to replica 1 only")
    alice = show.login("alice")
    statuses, asked = show.edge_until_all_are_asked(alice)
    show.line("envoy: a good token passes", statuses == {200})
    show.line("every replica was asked in turn", all(asked), f"{', '.join(f'{count:.0f}' for count in asked)} checks")
    refused: dict[int, float | None] = {}
    watchers = [
        threading.Thread(target=lambda n=n: refused.update({n: Client(show.fleet, n).until(alice, 401)}))
        for n in NUMBERS
    ]
    for watcher in watchers:
        watcher.start()
    sent = time.monotonic()
    taken = show.fleet.deliver("alice", 1)
    acknowledged = time.monotonic()
    for watcher in watchers:
        watcher.join()
    show.line("replica 1 acknowledged it", taken, f"{millis(acknowledged - sent)} after it was sent")
    for number in NUMBERS:
        at = refused[number]
        show.line(f"replica {number} refuses the token", at is not None,
                  f"{millis(at and at - sent)} after the event was sent")
    show.line("envoy: refused, whoever is asked", set(show.edge_all(alice)) == {401})
    show.line("envoy: another user passes", set(show.edge_all(bob)) == {200})


def kill_leader(show: Show, bob: str, subjects: list[str]) -> list[str]:
    show.chapter("kill -9 of the server that leads the stream, under events")
    load = Load(show.fleet, subjects)
    load.start()
    load.wait_for(80, 0)
    leader = show.fleet.leader()
    if leader is None:
        raise Broken("the stream has no leader")
    show.fleet.kill_9(f"nats-{leader}")
    killed = time.monotonic()
    passed = show.edge_all(bob, 30)
    show.line("envoy: requests are judged all the while", set(passed) == {200}, "30 checks right after the kill")
    # The first few were on their way already.
    again = load.wait_for(4, killed)
    show.line(f"nats-{leader} is gone: the next events are acknowledged", again is not None,
              f"after {again - killed:.1f} s; before, senders got 503 and tried again" if again else "")
    show.fleet.start_nats(leader)
    load.wait_for(80, time.monotonic())
    return load.stop()


def kill_replica(show: Show, bob: str) -> None:
    show.chapter("kill -9 of replica 2")
    carol = show.login("carol")
    show.fleet.kill_9("replica-2")
    show.edge_settles("asks the others", bob, 200)
    show.line("an event meanwhile, sent to replica 3, is acknowledged", show.fleet.deliver("carol", 3))
    show.edge_settles("refused", carol, 401)
    started = time.monotonic()
    show.fleet.launch_replica(2)
    show.fleet.wait_for_replica(2)
    took = time.monotonic() - started
    show.line("replica 2 is back and refuses what it missed", Client(show.fleet, 2).check(carol) == 401,
              f"ready in {millis(took)}")


def cut_off(show: Show, bob: str) -> None:
    show.chapter(f"Replica {CUT_OFF} is cut off from all NATS servers (max_staleness: 15s, when_stale: deny)")
    dave = show.login("dave")
    lonely = Client(show.fleet, CUT_OFF)
    show.fleet.cut(True)
    cut = time.monotonic()
    show.line("an event, sent to replica 1, is acknowledged", show.fleet.deliver("dave", 1))
    others = [Client(show.fleet, number).until(dave, 401, 5) for number in (1, 2)]
    show.line("replicas 1 and 2 refuse the token", None not in others)
    show.line(f"replica {CUT_OFF} cannot know, and still trusts what it knows", lonely.check(dave) == 200)
    stale = lonely.until(bob, 503)
    note = f"{stale - cut:.1f} s after the cut" if stale else ""
    show.line(f"replica {CUT_OFF} knows that it is stale: 503 for everybody", stale is not None, note)
    show.line(f"replica {CUT_OFF} says that it is not ready", show.fleet.is_unready(CUT_OFF))
    show.edge_settles("asks the others", bob, 200)
    show.edge_settles("and they refuse", dave, 401)
    show.fleet.cut(False)
    healed = time.monotonic()
    refused = lonely.until(dave, 401)
    show.line("healed: what it missed is refused", refused is not None,
              f"after {refused - healed:.1f} s" if refused else "")
    back = lonely.until(bob, 200)
    show.line("and everybody else passes again", back is not None)


def story(show: Show) -> None:
    bob = show.login("bob")
    # Tokens from before the events: those are what must be refused.
    early = {f"user-{number}": show.login(f"user-{number}") for number in range(1200)}
    spread(show, bob)
    locked = kill_leader(show, bob, list(early))
    kill_replica(show, bob)
    cut_off(show, bob)
    show.chapter("At last")
    tokens = [early[subject] for subject in locked]
    refused = show.refused_by_all(tokens)
    show.line("every acknowledged event is enforced by all three replicas", refused == len(tokens) > 0,
              f"{refused} of {len(tokens)}")
    show.line("and nobody else is refused", all(Client(show.fleet, n).check(bob) == 200 for n in NUMBERS))


def main() -> int:
    with Fleet() as fleet:
        print("Starting: identity provider, back end, three NATS servers, three replicas, Envoy", flush=True)
        fleet.start_all()
        show = Show(fleet)
        story(show)
        print(f"\n{show.wrong} of the lines above are wrong" if show.wrong else "\nAll as it should be", flush=True)
        if show.wrong:
            fleet.show_logs()
        return 1 if show.wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(1)
    except Broken as broken:
        sys.exit(f"replicas: {broken}")
