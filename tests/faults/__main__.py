"""`python -m tests.faults`: interrupt every command that writes, and see what is left; `make faults`.

Each command is killed (-9) at random moments, half of them by the clock and half just before it touches a file; runs
into full disks, into folders that cannot be written to, and into itself, twice at once.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

# Before torch is imported: a pool of threads does not survive a fork.
os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE", DO_NOT_TRACK="1")

from tests.faults.base import make_base
from tests.faults.cases import COMMANDS, STAGES, warm
from tests.faults.graphs import FLOW, GRAPHS
from tests.faults.places import Disk, disk
from tests.faults.trials import Bench, Known, Wrong
from tests.flows.projects import serving

CASES = {case.name: case for case in (*COMMANDS, *STAGES, *GRAPHS)}
KINDS = ("kill", "full", "read-only", "two")


@dataclass
class Row:
    """What came of one command."""

    name: str
    tried: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    met: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))  # that noticed the fault
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials, print a table; returns 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="kills of each command (default: 100)")
    parser.add_argument(
        "--others", type=int, default=20, metavar="N", help="full disks, and pairs of a command (default: 20)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (default: 0)")
    parser.add_argument("--only", nargs="+", choices=sorted(CASES), metavar="NAME", help="only these commands")
    options = parser.parse_args(arguments)
    rows, names = [], options.only or list(CASES)
    place = Path(tempfile.mkdtemp(prefix="lmk-faults-"))
    try:
        warm()
        _say("making what commands are run on")
        make_base(place / "base", [need for name in names for need in CASES[name].needs])
        with ExitStack() as stack:
            small = stack.enter_context(disk(place / "disk"))
            if small is None:
                _say("no disk can be mounted here, which takes root: a limit of files' sizes stands for a full one")
            if FLOW in names:  # one server for all of them: each would start its own, which takes longer than the rest
                (place / "server").mkdir()
                os.environ["PREFECT_API_URL"], _, _ = stack.enter_context(serving(place / "server"))
            for name in names:
                bench = Bench(
                    CASES[name], place / "base", place / "work", random.Random(f"{options.seed} {name}"), small
                )
                rows.append(_row(name, bench, options.kills, options.others, small))
    finally:  # what was found until somebody stopped it, too
        shutil.rmtree(place, ignore_errors=True)
        print(_table(rows))
    return int(any(row.failed for row in rows))


def _row(name: str, bench: Bench, kills: int, others: int, small: Disk | None) -> Row:
    row, started = Row(name), time.monotonic()
    try:
        known = bench.undisturbed()
    except Wrong as wrong:
        row.failed.append(str(wrong))
        _say(f"{name}: {wrong}")
        return row
    kinds = bench.case.kinds
    _kills(row, bench, known, kills)
    if "full" in kinds:
        _try(row, "full", others, lambda number: bench.full(known))
    if "read-only" in kinds and small is not None:
        _try(row, "read-only", 1, lambda number: bench.read_only(known, of_somebody_else=False))
    if "read-only" in kinds:
        _try(row, "read-only", 1, lambda number: bench.read_only(known, of_somebody_else=True))
    _try(row, "two", others, lambda number: bench.two(known))
    row.seconds = time.monotonic() - started
    counts = ", ".join(f"{kind} {row.tried[kind]}" for kind in KINDS if row.tried[kind])
    _say(f"{name}: {counts}; failed: {len(row.failed)}; {row.seconds:.0f} s")
    return row


def _kills(row: Row, bench: Bench, known: Known, kills: int) -> None:
    """Kill it so often; a run that ended before its moment is not counted."""
    number = 0
    while row.tried["kill"] < kills and number < 3 * kills:
        number += 1
        _one(row, "kill", lambda number=number: bench.kill(known, number))
        row.tried["kill"] = row.met["kill"] + sum(text.startswith("killed") for text in row.failed)
        if number % 10 == 0:
            _say(f"{row.name}: {row.tried['kill']} kills, failed: {len(row.failed)}")


def _try(row: Row, kind: str, count: int, trial: Callable[[int], bool]) -> None:
    for number in range(count):
        row.tried[kind] += 1
        _one(row, kind, lambda number=number: trial(number))


def _one(row: Row, kind: str, trial: Callable[[], bool]) -> None:
    try:
        row.met[kind] += trial()
    except Wrong as wrong:
        row.failed.append(str(wrong))
        _say(f"{row.name}: FAILED {str(wrong)[:300]} … {str(wrong)[-600:]}")


def _table(rows: Sequence[Row]) -> str:
    lines = [f"{'':18s}" + "".join(f"{kind:>12s}" for kind in KINDS) + f"{'failed':>9s}{'seconds':>9s}"]
    for row in rows:
        told = "".join(f"{row.met[kind]:>6d} of{row.tried[kind]:>3d}" for kind in KINDS)
        lines.append(f"{row.name:18s}{told}{len(row.failed):>9d}{row.seconds:>9.0f}")
    tried, failed = sum(sum(row.tried.values()) for row in rows), sum(len(row.failed) for row in rows)
    lines.append(f"tried: {tried}, failed: {failed}; `of` what was tried, that many were killed, noticed, or gave way")
    return "\n".join(lines)


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
