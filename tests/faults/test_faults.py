"""A small part of `make faults`, and that it sees what it is there to see."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.cases import Case
from tests.faults.trials import Bench, Wrong

PART = ["render", "ingest", "export", "revert", "audit"]


def test_commands_that_are_killed_or_disturbed_end_well_when_they_are_run_again():
    command = [sys.executable, "-m", "tests.faults", "--kills", "2", "--others", "1", "--seed", "5", "--only", *PART]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)

    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[1:-1]
    assert [row.split()[0] for row in rows] == PART
    assert all("2 of  2" in row for row in rows), done.stdout
    assert "failed: 0" in done.stdout.splitlines()[-1]


def whole(_):
    """As it should be."""
    Path("new").write_text("half and half")
    Path("new").rename("made")
    return 0


def in_place(_):
    """Writes where its result belongs."""
    with Path("made").open("w") as file:
        file.write("half")
        file.flush()
        time.sleep(0.05)
        file.write(" and half")
    return 0


def untidy(_):
    """Leaves its temporary files when it is killed."""
    room = Path(f"work{time.monotonic_ns()}.partial")
    room.write_text("half and half")
    time.sleep(0.05)
    room.rename("made")
    return 0


def refusing(_):
    """Does not find its way after a kill."""
    Path("begun").touch()
    time.sleep(0.05)
    if Path("begun").stat().st_size:
        return 1
    Path("begun").write_text("yes")
    time.sleep(0.05)
    Path("made").write_text("half and half")
    Path("begun").unlink()
    return 0


def other_bytes(_):
    """Makes something else when it goes on."""
    again = Path("begun").exists()
    Path("begun").touch()
    time.sleep(0.05)
    Path("made").write_text("again" if again else "half and half")
    Path("begun").unlink()
    return 0


def bench_of(program, folder):
    case = Case("a command", (), (), ("made",), program=program)
    return Bench(case, folder, folder / "work", random.Random(3), None)


@pytest.mark.parametrize(
    ("program", "seen"),
    [
        (whole, None),
        (in_place, "made is neither what it was nor what it is to be: 4 bytes"),
        (untidy, "left behind: work"),
        (refusing, "run again, it ends with 1"),
        (other_bytes, "other bytes than an undisturbed run's: made"),
    ],
)
def test_a_command_that_a_kill_spoils_is_found_out(program, seen, tmp_path):
    bench = bench_of(program, tmp_path)
    known = bench.undisturbed()
    found = []

    for number in range(8):
        try:
            bench.kill(known, number)
        except Wrong as wrong:
            found.append(str(wrong))

    assert found if seen else not found
    assert all(seen in one for one in found), found


def unguarded(_):
    """Two of it disturb each other."""
    Path("new").touch(exist_ok=False)
    time.sleep(0.1)
    Path("made").write_text("half and half")
    Path("new").unlink()
    return 0


def pairs(bench):
    known = bench.undisturbed()
    for _ in range(4):
        bench.two(known)


def test_two_commands_that_disturb_each_other_are_found_out(tmp_path):
    with pytest.raises(Wrong, match=r"(?s)two at once, .*not one line.*FileExistsError"):
        pairs(bench_of(unguarded, tmp_path))


def talkative(_):
    """Cannot write, and says so with a traceback."""
    Path("made").write_text("half" * 5000)
    return 0


def test_a_full_disk_and_a_closed_folder_that_are_not_told_in_one_line_are_found_out(tmp_path):
    bench = bench_of(talkative, tmp_path)
    known = bench.undisturbed()

    with pytest.raises(Wrong, match=r"(?s)left on the disk: not one line.*File too large"):
        bench.full(known)
    with pytest.raises(Wrong, match=r"(?s)folders of somebody else: not one line.*Permission denied"):
        bench.read_only(known, of_somebody_else=True)
