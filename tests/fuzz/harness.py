"""Runs cases: in a child process with limits of time and memory, whose death is a finding, too.

A case is good when its reader returns, or raises an `LmkError` of one line that names the file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
SECONDS = 20  # of one case; the machine may be busy
DEAD = 90  # seconds without a word from a child, which is then killed: it hangs where no signal gets through


class Hang(BaseException):
    """A case took too long; no reader catches it."""


@dataclass
class Tally:
    """What came of a target."""

    target: str
    tried: int = 0
    refused: int = 0  # of these, with an LmkError
    seconds: float = 0.0
    findings: list[dict[str, object]] = field(default_factory=list)


def run_case(target: str, number: int, seed: int, good: Path) -> tuple[bool, str | None]:
    """One case: whether it was refused, and what is wrong with how."""
    from lmk.errors import LmkError
    from tests.fuzz.targets import TARGETS

    rng = random.Random(f"{seed} {target} {number}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, contextlib.redirect_stdout(io.StringIO()), \
            contextlib.redirect_stderr(io.StringIO()):  # fmt: skip
        room = Path(folder) / "case"
        read = TARGETS[target].case(good, room, rng)
        signal.signal(signal.SIGALRM, _hang)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            read()
        except LmkError as error:
            message = str(error)
            if len(message.splitlines()) > 1:
                return True, f"a message of several lines: {message!r:.300}"
            if len(message) > 1500 + 2 * len(folder):
                return True, f"a message of {len(message)} characters: {message[:200]!r}"
            if TARGETS[target].names_file and not any(place in message for place in (folder, str(good))):
                return True, f"a message that names no file: {message!r:.300}"
            return True, None
        except Hang:
            return False, f"more than {SECONDS} seconds\n{traceback.format_exc(limit=-6)}"
        except BaseException:  # noqa: BLE001 (whatever it is, it is a finding)
            return False, traceback.format_exc()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return False, None


def _hang(number: int, frame: object) -> None:
    raise Hang


Plan = list[tuple[str, int, int]]  # target, first case, and the one behind the last


def work(plan: Plan, seed: int) -> None:
    """What a child does: cases one after the other, a line of JSON before each and one behind it."""
    from tests.fuzz.targets import TARGETS

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for target, start, end in plan:
        with tempfile.TemporaryDirectory(prefix="fuzz-good-") as folder:
            good = Path(folder) / "good"
            good.mkdir()
            with contextlib.redirect_stderr(io.StringIO()):
                TARGETS[target].make(good)
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (taken + TARGETS[target].memory, resource.RLIM_INFINITY))
            for number in range(start, end):
                print(json.dumps({"target": target, "case": number}), flush=True)
                refused, wrong = run_case(target, number, seed, good)
                print(json.dumps({"target": target, "done": number, "refused": refused, "wrong": wrong}), flush=True)


def fuzz(plan: Plan, seed: int, tell: Callable[[Tally], None] = lambda tally: None) -> dict[str, Tally]:
    """Run cases; a child that dies is a finding, and another goes on behind the case that killed it."""
    tallies = {target: Tally(target) for target, _, _ in plan}
    while plan:
        began, at = time.monotonic(), None
        for said in _child(plan, seed):
            tally, number = tallies[said["target"]], said.get("case", said.get("done"))
            at = None if "done" in said else (said["target"], number)
            if at is None:
                plan = _behind(plan, said["target"], number)
                tally.tried += 1
                tally.refused += said["refused"]
                if said["wrong"]:
                    tally.findings.append({"target": said["target"], "case": number, "wrong": said["wrong"]})
                tally.seconds, began = tally.seconds + time.monotonic() - began, time.monotonic()
                tell(tally)
        if plan and at is None:
            raise RuntimeError(f"{plan[0]}: cannot be set up; try python -m tests.fuzz --target … --case …")
        if at is not None:
            target, number = at
            tallies[target].tried += 1
            tallies[target].findings.append({"target": target, "case": number, "wrong": "the process died, or hung"})
            tell(tallies[target])
            plan = _behind(plan, target, number)
    return tallies


def _behind(plan: Plan, target: str, number: int) -> Plan:
    """What is left behind a case."""
    place = [name for name, _, _ in plan].index(target)
    _, _, end = plan[place]
    return [*([(target, number + 1, end)] if number + 1 < end else []), *plan[place + 1 :]]


def _child(plan: Plan, seed: int) -> Iterator[dict[str, Any]]:
    """What a child says, until it has ended, or says nothing for too long."""
    with tempfile.TemporaryDirectory(prefix="fuzz-child-") as room:
        environment = {
            **os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
            "TMPDIR": room,
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.fuzz", "--work", json.dumps(plan), "--seed", str(seed)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment
        ) as child:
            assert child.stdout is not None
            held = b""
            while select.select([child.stdout], [], [], DEAD)[0]:
                read = os.read(child.stdout.fileno(), 1 << 16)
                if not read:
                    break
                *lines, held = (held + read).split(b"\n")
                for line in lines:
                    yield json.loads(line)
            child.kill()


def show(target: str, number: int, seed: int) -> None:
    """One case in this process, and its traceback."""
    from tests.fuzz.targets import TARGETS

    with tempfile.TemporaryDirectory(prefix="fuzz-good-") as folder:
        good = Path(folder) / "good"
        good.mkdir()
        TARGETS[target].make(good)
        kept = Path(tempfile.gettempdir()) / "fuzz-case"
        shutil.rmtree(kept, ignore_errors=True)
        read = TARGETS[target].case(good, kept, random.Random(f"{seed} {target} {number}"))
        print(f"the case is in {kept}")
        read()
