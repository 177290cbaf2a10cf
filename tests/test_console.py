"""What a user is told while work is long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmk.console import Progress, run_cleanly
from lmk.errors import OutOfMemory, enough_memory


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_speed_and_time_left_are_those_of_the_work_and_not_of_the_waiting_before_it(capsys):
    clock = Clock()
    progress = Progress("reading", "images", clock)
    for now, done in ((100.0, 50), (105.0, 100), (115.0, 150), (135.0, 250)):
        clock.now = now
        progress(done, 250)

    assert capsys.readouterr().err.splitlines() == [
        "reading: 50/250 images",
        "reading: 150/250 images, 6.7 images/s, 0:15 left",
        "reading: 250/250 images, 5.7 images/s, took 0:35",
    ]


def test_what_is_done_at_once_is_said_once(capsys):
    clock = Clock()
    progress = Progress("reading", "images", clock)
    clock.now = 2.0

    progress(30, 30)

    assert capsys.readouterr().err.splitlines() == ["reading: 30/30 images, 15 images/s, took 0:02"]


def test_what_is_printed_onto_a_full_disk_is_a_mistake_that_is_told():
    # Python keeps what is printed, and would notice only as it ends.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "lmk", "completion", "bash"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=env)

    assert done.returncode == 1
    assert done.stderr == (
        "lmk: writing: No space left on device; make room, or name another place; nothing was left half written\n"
    )


CPU = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "17179869184 bytes. Error code 12 (Cannot allocate memory)"
)
CUDA = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.77 GiB"


@pytest.mark.parametrize(
    ("lack", "asked"),
    [
        (RuntimeError(CPU), " for 17179869184 bytes more"),
        (RuntimeError(CUDA), " for 20.00 GiB more"),
        (RuntimeError("std::bad_alloc"), ""),
        (MemoryError(), ""),
        (MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000, 1000, 1000)"), " for 7.45 GiB more"),
    ],
)
def test_work_that_lacks_memory_says_so_on_one_line_with_what_to_make_smaller(lack, asked, capsys):
    def work():
        with enough_memory("training", "training.batch"):
            raise lack

    assert run_cleanly(work) == 1
    assert capsys.readouterr().err == f"lmk: training: not enough memory{asked}; make training.batch smaller\n"


def test_lack_of_memory_anywhere_is_one_line_and_other_errors_are_none(capsys):
    def lacking():
        raise MemoryError

    def wrong():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    assert run_cleanly(lacking) == 1
    assert capsys.readouterr().err.startswith("lmk: this work: not enough memory; make ")
    with pytest.raises(RuntimeError, match="mat1"):
        run_cleanly(wrong)
    with (
        pytest.raises(OutOfMemory, match="predicting"),
        enough_memory("training", "it"),
        enough_memory("predicting", "it"),
    ):
        raise MemoryError
