"""`python -m tests.fuzz`: many cases of every target, and a table of what came of them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.fuzz.harness import Tally, fuzz, show, work


def main() -> int:
    """Run, and say what was found; 1 where something was."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="mutations of each target; 20,000")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="targets at once")
    parser.add_argument("--case", type=int, help="one case of a target alone, with its traceback")
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(json.loads(asked.work), asked.seed)
        return 0
    if asked.case is not None:
        show(asked.target[0], asked.case, asked.seed)
        return 0
    from tests.fuzz.targets import TARGETS

    said: dict[str, tuple[float, int]] = {}  # when, and how many findings

    def tell(tally: Tally) -> None:
        """Show findings as they come, and now and then how far it is."""
        now = time.monotonic()
        when, shown = said.setdefault(tally.target, (now, 0))
        for finding in tally.findings[shown:]:
            print(json.dumps(finding), file=sys.stderr, flush=True)
        if now - when > 30:
            when = now
            print(f"{tally.target}: {tally.tried:,} tried, {len(tally.findings)} failed, {tally.seconds:.0f} s",
                  file=sys.stderr, flush=True)  # fmt: skip
        said[tally.target] = when, len(tally.findings)

    def run(target: str) -> Tally:
        plan = [(target, asked.start, asked.start + asked.count)]
        return fuzz(plan, asked.seed, tell)[target]

    print(f"{'target':12s}{'tried':>9s}{'refused':>9s}{'failed':>8s}{'seconds':>9s}", flush=True)
    failed = 0
    with ThreadPoolExecutor(asked.jobs) as pool:
        for tally in pool.map(run, asked.target or TARGETS):
            failed += len(tally.findings)
            print(f"{tally.target:12s}{tally.tried:9,d}{tally.refused:9,d}{len(tally.findings):8,d}{tally.seconds:9.0f}",
                  flush=True)  # fmt: skip
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
