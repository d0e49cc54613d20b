"""Measures what docs/performance.md promises, in one run on this machine, and writes its table.

    benches/run.py                 everything, in about twelve minutes on two cores
    benches/run.py repeat edge     some of the cases; the table is printed but not kept
    benches/run.py --large         logs of ten million revocations too; takes an hour
"""

import argparse
import shutil
import sys
import time

import cases
import plots
import report
import second_bar
from harness import ROOT, kit, work_directory

CASES = {
    "repeat": cases.repeat,
    "policies": cases.policies,
    "edge": cases.edge,
    "obvious": second_bar.obvious,
    "memory": cases.memory,
    "start": cases.start,
    "search": cases.search,
    "events": cases.events,
    "storm": cases.storm,
    "connections": cases.connections,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--large", action="store_true", help="ten million revocations too")
    parser.add_argument("--keep", action="store_true", help="keep the files of the run")
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}")
    started = time.monotonic()
    work = work_directory()
    bench = cases.Bench(work, large=options.large)
    try:
        say("minting tokens")
        kit("mint", work / "tokens")
        for name in options.cases or CASES:
            say(name)
            CASES[name](bench)
    finally:
        bench.stop()
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    say(f"done in {time.monotonic() - started:.0f} s")
    print(report.table(bench.rows))
    if not options.cases:
        report.write(ROOT / "docs/performance.md", bench.rows)
        plots.write(ROOT / "docs/plots", bench.series)
    return 0


def say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
