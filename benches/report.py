"""The one table, on the terminal and in docs/performance.md."""

import datetime
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness import RELEASE, ROOT, SERVER, tool

BEGIN = "<!-- bench: written by make bench -->"
END = "<!-- bench: end -->"


@dataclass
class Row:
    case: str
    baseline: str
    ours: str
    ratio: float | None
    target: str
    holds: bool | None

    def cells(self) -> list[str]:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = {True: "yes", False: "**no**", None: ""}[self.holds]
        return [self.case, self.baseline, self.ours, ratio, self.target, verdict]

    def __str__(self) -> str:
        return " | ".join(self.cells())


def first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def machine() -> str:
    info = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(": ", 1)[1] for line in info if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    return f"{len(names)} × {names[0]}, {memory:.0f} GiB, Linux {platform.release()}"


def versions() -> str:
    envoy = first_line(tool("envoy"), "--version").split("/")[-4]
    commit = first_line("git", "rev-parse", "--short", "HEAD")
    rustc = " ".join(first_line("rustc", "--version").split()[:2])
    h2load = first_line(tool("h2load"), "--version")
    wrk = " ".join(first_line(tool("wrk"), "--version").split()[:2])
    build = "" if SERVER == RELEASE / "portcullis" else " (make pgo)"
    return f"portcullis {commit}{build}, {rustc}, Envoy {envoy}, {h2load}, {wrk}"


def table(rows: list[Row], with_versions=versions) -> str:
    head = ["case", "baseline", "ours", "ratio", "target", "holds"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    day = datetime.datetime.now(datetime.timezone.utc).date()
    note = f"{day}, on {machine()}; {with_versions()}."
    return "\n".join([note, "", *lines])


def write(path: Path, rows: list[Row]) -> None:
    replace(path, BEGIN, END, table(rows))


def replace(path: Path, begin: str, end: str, new: str) -> None:
    """Replaces what stands between the marks."""
    text = path.read_text()
    before, rest = text.split(begin, 1)
    _, after = rest.split(end, 1)
    path.write_text(f"{before}{begin}\n\n{new}\n\n{end}{after}")
