"""What is done to a command, and what has to be true afterwards.

Whatever happens, a target is the old one, or not there, or the new one as a whole; what went wrong is one line; and the
same command once more ends well, leaves the bytes of an undisturbed run, and nothing beside them.
"""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.faults.cases import THERE, Case, place, said_well
from tests.faults.forks import Ended, Moment, start
from tests.faults.graphs import Graph
from tests.faults.places import Disk, closed, drop_powers, limit_files

FULL = ("No space left on device", "disk is full", "File too large")
# What only a process that is at work may have beside its target.
LEFT = ("**/.*.tmp", "**/.*.lock", "**/*.partial", "**/.work/**/tmp*", "**/checkpoint.safetensors", "**/.work/observed")

OF_DVC = re.compile(r"\.[\w-]{22}\.tmp")  # which it makes beside what it links, and leaves when it is killed


class Wrong(AssertionError):
    """What a fault has led to."""


class Known(NamedTuple):
    """What an undisturbed run does."""

    ended: Ended
    files: dict[str, bytes]
    before: dict[str, bytes]  # what the target held before, where it may hold something
    written: int  # bytes


@dataclass
class Bench:
    """Where trials of one case take place."""

    case: Case
    base: Path
    work: Path
    chance: random.Random
    disk: Disk | None

    def undisturbed(self) -> Known:
        """Run the command as it should run, twice: it has to leave the same bytes."""
        before: dict[str, bytes] = {}
        if self.case.before:
            folder = self._laid_out(self.work / "before")
            self._check(self._run(folder, self.case.prepare), "the run before")
            before = self.case.results(folder)
        found = []
        for _ in range(2):
            folder = self._laid_out(self.work / "undisturbed")
            size = _bytes_below(folder)
            ended = self._run(folder)
            self._check(ended, "an undisturbed run")
            found.append(Known(ended, self.case.results(folder), before, _bytes_below(folder) - size))
            self._check_nothing_left(folder)
        first, second = found
        if first.files != second.files or (self.case.answers and first.ended.out != second.ended.out):
            raise Wrong(f"two undisturbed runs differ in {_difference(first.files, second.files)}")
        if not first.files and not self.case.answers:
            raise Wrong("an undisturbed run makes nothing")
        shutil.rmtree(self.work / "before", ignore_errors=True)
        return second

    def kill(self, known: Known, number: int) -> bool:
        """Kill it, run it again; whether it was killed at all, and had not ended before."""
        folder = self._laid_out(self.work / "killed")
        old = number % 3 == 0 and self._put_before(folder, known)
        if number % 2 or not known.ended.touches:
            moment = Moment(seconds=self.chance.uniform(0, known.ended.seconds), everything=number % 4 < 2)
        else:
            moment = Moment(touch=self.chance.randint(1, max(1, known.ended.touches)))
        ended = start(self.case.run, folder, self.work / "log", moment).wait()
        with _told(f"killed at {moment}{', over old content' if old else ''}"):
            if not ended.killed:
                self._check(ended, "a run that was to be killed")
                return False
            self._check_whole(folder, known)
            self._check_again(folder, known)
        return True

    def full(self, known: Known) -> bool:
        """Let it run into a full disk, then make room and run it again; whether it noticed."""
        left = self.chance.randrange(0, known.written + 1)
        folder = self._laid_out(self.disk.empty() if self.disk else self.work / "full")
        with _told(f"{left} bytes of {known.written} left on the disk"):
            if self.disk:
                with self.disk.full(left):
                    ended = self._run(folder)
            else:
                ended = self._run(folder, lambda: (limit_files(left), self.case.run())[1])
            if not said_well(ended) and not any(text in self.case.mistake(ended) for text in FULL):
                raise Wrong(f"not one line: {ended.code} {ended.err or ended.out}")
            self._check_whole(folder, known)
            self._check_again(folder, known)
        return ended.code != 0

    def read_only(self, known: Known, of_somebody_else: bool) -> bool:
        """Let it write where nothing can be written, then where it can; whether it noticed."""
        folder = self._laid_out(self.disk.empty() if self.disk else self.work / "read-only")
        with _told("folders of somebody else" if of_somebody_else else "a disk that is read-only"):
            if of_somebody_else:
                with closed(folder):
                    ended = self._run(folder, lambda: (drop_powers(), self.case.run())[1])
            else:
                assert self.disk is not None
                with self.disk.read_only():
                    ended = self._run(folder)
            reason = "Permission denied" if of_somebody_else else "Read-only file system"
            if not said_well(ended) and reason not in self.case.mistake(ended):
                raise Wrong(f"not one line: {ended.code} {ended.err or ended.out}")
            if ended.code == 0 and not self.case.answers:
                raise Wrong("ends with 0 where nothing can be written")
            self._check_whole(folder, known)
            self._check_again(folder, known)
        return ended.code != 0

    def two(self, known: Known) -> bool:
        """Run it twice at once; whether one gave way to the other."""
        folder = self._laid_out(self.work / "two")
        wait = self.chance.uniform(0, known.ended.seconds / 2) * self.chance.choice([0, 1])
        with _told(f"two at once, {wait:.3f} s apart"):
            first = start(self.case.run, folder, self.work / "log")
            time.sleep(wait)
            second = start(self.case.run, folder, self.work / "log2")
            both = [first.wait(), second.wait()]
            for ended in both:
                if not said_well(ended) and not self.case.gave_way(ended):
                    raise Wrong(f"not one line: {ended.code} {ended.err or ended.out}")
            if isinstance(self.case, Graph):  # each may meet a lock of the other's
                self._check_again(folder, known)
            elif not any(said_well(ended) for ended in both):
                raise Wrong(f"neither ends well: {both[0].err}{both[1].err}")
            self._check_results(folder, known)
            self._check_nothing_left(folder)
        return not all(said_well(ended) for ended in both)

    def _laid_out(self, folder: Path) -> Path:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        place(self.case, self.base, folder)
        return folder

    def _put_before(self, folder: Path, known: Known) -> bool:
        for name, content in known.before.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return bool(known.before)

    def _run(self, folder: Path, work: Callable[[], int] | None = None) -> Ended:
        return start(work or self.case.run, folder, self.work / "log").wait()

    def _check(self, ended: Ended, what: str) -> None:
        if not said_well(ended):
            raise Wrong(f"{what} ends with {ended.code}: {ended.err or ended.out}")

    def _check_whole(self, folder: Path, known: Known) -> None:
        """Nothing that is there passes for whole, and is not; a folder's files are all there, or none."""
        if isinstance(self.case, Graph) and not self.case.atomic:
            return
        there = self.case.results(folder)
        for name, content in there.items():
            if name != self.case.grows and content not in (
                _wanted(known.files, name, self.case),
                known.before.get(name),
            ):
                raise Wrong(f"{name} is neither what it was nor what it is to be: {len(content)} bytes")
        for target in self.case.whole:
            inside = {name: content for name, content in there.items() if name.startswith(f"{target}/")}
            for content in (known.files, known.before):
                if inside == {name: each for name, each in content.items() if name.startswith(f"{target}/")}:
                    break
            else:
                if inside:
                    raise Wrong(f"{target} has some of its files: {sorted(inside)[:5]} …")

    def _check_again(self, folder: Path, known: Known) -> None:
        """The same command once more."""
        ended = self._run(folder)
        if not said_well(ended):
            # It had done all its work.
            if not (THERE in self.case.mistake(ended) and self.case.results(folder) == known.files):
                raise Wrong(f"run again, it ends with {ended.code}: {ended.err or ended.out}")
        elif self.case.answers and ended.out != known.ended.out:
            raise Wrong(f"run again, it answers otherwise: {ended.out[:300]}")
        self._check_results(folder, known)
        self._check_nothing_left(folder)

    def _check_results(self, folder: Path, known: Known) -> None:
        there = self.case.results(folder)
        if self.case.adds:  # a run that was killed may have added its file; two runs add two
            if not 1 <= len(there) <= 2 or set(there.values()) != set(known.files.values()):
                raise Wrong(f"decisions are {sorted(there)}")
        elif there != known.files:
            raise Wrong(f"other bytes than an undisturbed run's: {_difference(there, known.files)}")

    def _check_nothing_left(self, folder: Path) -> None:
        left = [path for pattern in LEFT for path in folder.glob(pattern) if not OF_DVC.fullmatch(path.name)]
        if left:
            raise Wrong(f"left behind: {', '.join(path.relative_to(folder).as_posix() for path in left[:5])}")


def _wanted(files: Mapping[str, bytes], name: str, case: Case) -> bytes | None:
    """What a file is to hold; where each run adds one, all hold the same."""
    return next(iter(files.values())) if case.adds else files.get(name)


@contextlib.contextmanager
def _told(how: str) -> Iterator[None]:
    try:
        yield
    except Wrong as wrong:
        raise Wrong(f"{how}: {wrong}") from wrong


def _difference(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> str:
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return ", ".join(names[:5]) or "what is printed"


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
