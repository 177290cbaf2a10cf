"""A command in a fork of this process, which has imported everything: it starts at once, and can be killed at a moment.

A moment is a time after the start, or the n-th time that the command opens a file to write, renames, links or removes
one: those are the moments at which something can be half made, and they are too short to be met by the clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

PATIENCE = 300.0  # seconds after which a command counts as one that hangs
_TOUCHES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.utime"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Moment(NamedTuple):
    """When a command is killed; the first that comes."""

    seconds: float | None = None
    touch: int | None = None
    everything: bool = True  # with processes of groups of their own that it has started


AT_ITS_END = Moment()  # it is not killed


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int  # of the exit; minus the signal that killed it
    seconds: float
    touches: int  # of files; 0 where it was killed
    out: str
    err: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


@dataclass
class Running:
    """A command that runs; `wait` for it."""

    pid: int
    logs: Path
    moment: Moment
    started: float = field(default_factory=time.monotonic)

    def wait(self) -> Ended:
        """Wait for its end, and kill it when its moment comes, with all that it started."""
        limit = PATIENCE if self.moment.seconds is None else self.moment.seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            now = time.monotonic() - self.started
            if pid:
                break
            if now >= limit:
                started = _started_by(self.pid) if self.moment.everything else []
                os.killpg(self.pid, signal.SIGKILL)
                for each in (*started, self.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(each, signal.SIGKILL)
                _, status = os.waitpid(self.pid, 0)
                break
            time.sleep(min(0.002, max(0.0, limit - now)))
        with contextlib.suppress(ProcessLookupError):  # what it started and left
            os.killpg(self.pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(status)
        if now >= PATIENCE:
            code = 124
        texts = {name: (self.logs / name).read_text(errors="replace") for name in ("out", "err")}
        counted = self.logs / "touches"
        touches = int(counted.read_text()) if counted.is_file() else 0
        return Ended(code, time.monotonic() - self.started, touches, texts["out"], texts["err"])


def _started_by(pid: int) -> list[int]:
    """The processes that one has started, and those that these have (Linux)."""
    found, parents = [pid], {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def start(work: Callable[[], Any], folder: Path, logs: Path, moment: Moment = AT_ITS_END) -> Running:
    """Fork, and do some work in a folder.

    Args:
        work: returns the exit code.
        folder: that it is done in.
        logs: a folder for what it says.
        moment: when it kills itself, or is killed by `wait`.
    """
    logs.mkdir(parents=True, exist_ok=True)
    for old in logs.iterdir():
        old.unlink()
    for name in ("out", "err"):
        (logs / name).touch()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads; nothing here waits for them
        pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # the child does it, too; whoever is first
            os.setpgid(pid, pid)
        return Running(pid, logs, moment)
    code = 70
    try:
        os.setpgid(0, 0)
        for number, name in ((1, "out"), (2, "err")):
            handle = os.open(logs / name, os.O_WRONLY | os.O_APPEND)
            os.dup2(handle, number)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
        os.chdir(folder)
        count = _count_touches(moment.touch)
        code = _code_of(work)
        sys.stdout.flush()
        touches = count()
        (logs / "touches").write_text(json.dumps(touches))
    except BaseException:  # noqa: BLE001 (nothing may come out of a fork)
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _code_of(work: Callable[[], Any]) -> int:
    try:
        code = work()
    except SystemExit as end:
        code = end.code
    return code if isinstance(code, int) else int(code is not None)


def _count_touches(last: int | None) -> Callable[[], int]:
    """Count from now on how often files are touched, and kill this process before the last time."""
    found = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal found
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
        if writes or event in _TOUCHES:
            found += 1
            if found == last:
                os.killpg(0, signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: found
