"""Ten minutes at full load with events and key rotations: no error, and memory that stays flat.

    benches/soak.py [--minutes 10]

Revocations are forgotten as fast as they come, so that memory can be flat. Outside CI. It prints a
line every ten seconds and ends with a verdict.
"""

import argparse
import shutil
import sys
import threading
import time
import urllib.error
import urllib.request

import load
from harness import Portcullis, kit, work_directory

ROTATIONS = 8
# Growth after the first quarter that is still called flat.
SLACK = 16 << 20


class Soak:
    def __init__(self, minutes: float) -> None:
        self.work = work_directory()
        self.tokens = self.work / "tokens"
        kit("mint", self.tokens, "--rotating", 60_000, "--fresh", 1, "--fresh-rsa", 1)
        self.jwks = self.work / "jwks.json"
        shutil.copy(self.tokens / "jwks.json", self.jwks)
        data = self.work / "data"
        self.server = Portcullis(self.work, "soak", self.jwks, data, workers=None, short_lived=True)
        self.seconds = minutes * 60
        self.end = time.monotonic() + self.seconds
        self.problems: list[str] = []
        self.counts = {"checks": 0, "other tokens": 0, "events": 0, "rotations": 0}

    def running(self) -> bool:
        return time.monotonic() < self.end and not self.problems

    def worker(self, work) -> threading.Thread:
        def go() -> None:
            try:
                while self.running():
                    work()
            except Exception as error:  # noqa: BLE001 whatever it is, the soak has failed
                self.problems.append(f"{work.__name__}: {error}")

        thread = threading.Thread(target=go)
        thread.start()
        return thread

    def check(self) -> None:
        load.check(self.server.port, self.tokens / "repeat.body", 50_000)
        self.counts["checks"] += 50_000

    def other_tokens(self) -> None:
        port = self.server.ports["forward_auth"]
        load.tokens(port, self.tokens / "rotating.txt", 0, 60_000, 200, forwarded=True)
        self.counts["other tokens"] += 60_000

    def events(self) -> None:
        done = load.events(self.server.ports["events"], 8, 5, self.counts["events"] + 1, 20)
        self.counts["events"] += done["events"]

    def rotate(self) -> None:
        """A key comes, its predecessor goes; the token of each must follow at once or soon."""
        number = self.counts["rotations"] % ROTATIONS
        before = (number - 1) % ROTATIONS
        fresh = self.work / "jwks.next"
        shutil.copy(self.tokens / f"rotation-{number}.json", fresh)
        fresh.replace(self.jwks)
        self.expect(number, 200)
        if self.counts["rotations"]:
            self.expect(before, 401)
        self.counts["rotations"] += 1
        time.sleep(5)

    def expect(self, number: int, status: int) -> None:
        token = (self.tokens / f"rotation-{number}.txt").read_text()
        deadline = time.monotonic() + 60
        while (got := self.ask(token)) != status:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the token of rotation {number} gets {got}, not {status}")
            time.sleep(0.2)

    def ask(self, token: str) -> int:
        url = f"http://127.0.0.1:{self.server.ports['forward_auth']}/authz/forward-auth"
        headers = {"authorization": f"Bearer {token}"} | load.FORWARDED
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def watch(self) -> list[int]:
        sizes = []
        while self.running():
            time.sleep(10)
            if not self.server.alive():
                self.problems.append("the server died")
                break
            sizes.append(self.server.rss())
            print(f"soak: {sizes[-1] / 2**20:.0f} MiB, {self.counts}", flush=True)
        return sizes

    def run(self) -> int:
        work = (self.check, self.other_tokens, self.events, self.rotate)
        threads = [self.worker(each) for each in work]
        sizes = self.watch()
        for thread in threads:
            thread.join()
        reasons = self.server.decisions()
        errors = {why: count for why, count in reasons.items() if count and why not in ("permit", "unknown_key")}
        if errors:
            self.problems.append(f"refused for other reasons than a key that went: {errors}")
        warm, last = sizes[len(sizes) // 4 :], sizes[-1]
        if last > min(warm) + SLACK:
            self.problems.append(f"memory grew from {min(warm) >> 20} to {last >> 20} MiB")
        self.server.stop()
        shutil.rmtree(self.work, ignore_errors=True)
        for problem in self.problems:
            print(f"soak: FAILED: {problem}")
        if not self.problems:
            print(f"soak: passed: {self.counts}, {min(warm) >> 20} to {max(warm) >> 20} MiB after warm-up")
        return 1 if self.problems else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    sys.exit(Soak(parser.parse_args().minutes).run())
