"""Files and folders are whole or not there, whoever writes them and however they end."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmk.errors import DataError
from lmk.files import ABANDONED, LOCK, alone, making, replacing


def beside(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_interrupted_write_leaves_the_old_content_and_nothing_else(tmp_path):
    target = tmp_path / "kept.txt"
    target.write_text("old")

    def interrupted():
        with replacing(target) as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for content in ("old", "new"):
        with replacing(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)

    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new"]


def test_a_folder_is_one_process_s_at_a_time(tmp_path):
    script = f"from pathlib import Path; from lmk.files import alone\nwith alone(Path({str(tmp_path)!r})): print('in')"

    def other():
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)

    with alone(tmp_path):
        refused = other()
    assert "another process is at work there" in refused.stderr
    assert "in" not in refused.stdout.split()
    assert other().stdout.split() == ["in"]


def test_a_target_is_one_process_s_at_a_time_and_nothing_of_its_lock_stays(tmp_path):
    target = tmp_path / "new" / "deep" / "set.parquet"
    script = f"from pathlib import Path; from lmk.files import making\nwith making(Path({str(target)!r})): print('in')"

    def other():
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)

    with making(target):
        refused = other()
        with making(target.with_name("other.parquet")):
            pass
    assert f"{target}: another process is at work there; wait for it, or name another place" in refused.stderr
    assert "in" not in refused.stdout.split()
    assert beside(tmp_path) == []
    assert other().stdout.split() == ["in"]
    assert beside(tmp_path) == []


def test_a_lock_that_a_killed_process_left_is_taken_over_and_what_it_wrote_is_removed(tmp_path):
    (tmp_path / f".set{LOCK}").touch()
    (tmp_path / ".set.0123abcd.tmp").mkdir()

    with making(tmp_path / "set"):
        (tmp_path / "set").touch()

    assert beside(tmp_path) == ["set"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a place where nothing can be made")
def test_a_place_where_nothing_can_be_made_is_named_as_the_user_named_it():
    with pytest.raises(FileNotFoundError) as error, making(Path("/proc/nowhere/target")):
        pass
    assert error.value.filename == "/proc/nowhere/target"


def count_alone(target, rounds, inside):
    done = 0
    while done < rounds:
        try:
            with making(target):
                inside.write_bytes(b"x" * (len(inside.read_bytes()) + 1))
                done += 1
        except DataError:
            time.sleep(0.0002)


def test_a_lock_that_is_removed_by_its_owner_lets_in_one_at_a_time(tmp_path):
    inside = tmp_path / "inside"
    inside.touch()
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=count_alone, args=(tmp_path / "target", 100, inside)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(inside.read_bytes()) == 300
    assert beside(tmp_path) == ["inside"]


def write_often(target, letter, as_folder, barrier):
    for _ in range(30):
        barrier.wait()  # both are in the block at once, each time
        with replacing(target) as temporary:
            if as_folder:
                temporary.mkdir()
            for name in ("a", "b"):
                file = temporary / name if as_folder else temporary
                file.write_text(letter * 200_000)
                time.sleep(0.001)


@pytest.mark.parametrize("as_folder", [False, True])
def test_two_processes_that_write_one_target_at_once_leave_one_whole_content(tmp_path, as_folder):
    target = tmp_path / "target"
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2, timeout=60)
    writers = [context.Process(target=write_often, args=(target, letter, as_folder, barrier)) for letter in "xy"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0]
    parts = [target / "a", target / "b"] if as_folder else [target]
    [letters] = {frozenset(part.read_text()) for part in parts}
    assert len(letters) == 1
    assert beside(tmp_path) == ["target"]


def test_each_writer_keeps_what_it_has_and_the_last_to_end_stays(tmp_path):
    with replacing(tmp_path / "file") as first:
        first.write_text("first")
        with replacing(tmp_path / "file") as second:
            second.write_text("second")
        assert first.read_text() == "first"
        assert (tmp_path / "file").read_text() == "second"

    assert (tmp_path / "file").read_text() == "first"
    assert beside(tmp_path) == ["file"]


def test_what_a_killed_writer_leaves_is_removed_by_the_next(tmp_path):
    script = (
        "import os, signal; from pathlib import Path; from lmk.files import replacing\n"
        f"with replacing(Path({str(tmp_path / 'file')!r})) as temporary:\n"
        "    temporary.write_text('half of the n'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert len(beside(tmp_path)) == 1

    with replacing(tmp_path / "other") as temporary:
        temporary.write_text("of another target")
    assert len(beside(tmp_path)) == 2
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("whole")

    assert beside(tmp_path) == ["file", "other"]


def no_locks(handle, how):
    raise OSError(errno.ENOLCK, "No locks available")


def test_without_locks_and_for_older_versions_a_day_without_a_change_says_that_a_writer_is_dead(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", no_locks)
    long_ago = time.time() - ABANDONED - 60
    left = [".file.0123abcd.tmp", ".file.tmp", ".file.old"]
    for name in left:
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").touch()

    with replacing(tmp_path / "file") as temporary:
        temporary.touch()
    assert beside(tmp_path) == sorted([*left, "file"])
    for name in left:
        os.utime(tmp_path / name, (long_ago, long_ago))
    os.utime(tmp_path / ".file.tmp/part", (long_ago, long_ago))
    with replacing(tmp_path / "file") as temporary:
        temporary.touch()
    assert beside(tmp_path) == sorted([*left[:1], *left[2:], "file"])


def test_a_link_to_a_folder_is_replaced_and_the_folder_is_not_touched(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "kept").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with replacing(tmp_path / "link") as temporary:
        temporary.mkdir()

    assert not (tmp_path / "link").is_symlink()
    assert beside(tmp_path / "link") == []
    assert beside(tmp_path / "real") == ["kept"]


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_that_knows_no_locks_is_worked_on_without(tmp_path, monkeypatch, reason):
    def flock(handle, how):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(fcntl, "flock", flock)

    with alone(tmp_path):
        assert beside(tmp_path) == [LOCK]


@pytest.mark.parametrize("reason", [errno.EIO, errno.EINTR, errno.EACCES])
def test_a_lock_that_cannot_be_taken_for_another_reason_is_one_line(tmp_path, monkeypatch, reason):
    def flock(handle, how):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(fcntl, "flock", flock)

    with (
        pytest.raises(DataError, match=f"cannot be kept to one process .{os.strerror(reason)}") as error,
        alone(tmp_path),
    ):
        pass
    assert "\n" not in str(error.value)
