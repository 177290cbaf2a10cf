"""A disk of its own, small and in memory, that can be full or read-only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

SIZE = 96 << 20  # bytes, more than any command writes


class Disk:
    """A file system in memory, mounted at a folder; needs root."""

    def __init__(self, root: Path) -> None:
        self.root, self._ballast = root, root / "ballast"

    def empty(self) -> Path:
        """Forget everything on it; returns a new folder there."""
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        place = self.root / "place"
        place.mkdir()
        return place

    @contextlib.contextmanager
    def full(self, left: int) -> Iterator[None]:
        """Only so many bytes are left while the block runs."""
        state = os.statvfs(self.root)
        taken = max(0, state.f_bavail * state.f_frsize - left)
        with self._ballast.open("wb") as file:
            if taken:
                os.posix_fallocate(file.fileno(), 0, taken)
        try:
            yield
        finally:
            self._ballast.unlink()

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written while the block runs."""
        _run("mount", "-o", "remount,ro", str(self.root))
        try:
            yield
        finally:
            _run("mount", "-o", "remount,rw", str(self.root))


@contextlib.contextmanager
def disk(root: Path) -> Iterator[Disk | None]:
    """Mount one for as long as the block runs; None where this user may not."""
    root.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(root))
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield Disk(root)
    finally:
        _run("umount", str(root))


@contextlib.contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Nothing can be made in a folder, or in those below it, while the block runs: for whoever is not root."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for one in folders:
        one.chmod(0o555)
    try:
        yield
    finally:
        for one in folders:
            one.chmod(0o755)


def limit_files(size: int) -> None:
    """From now on this process can make no file larger than some bytes; one line on its stderr always fits."""
    size = max(size, 4096)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def drop_powers() -> None:
    """From now on this process may do no more than any other user, even where it is root's (Linux)."""
    if os.geteuid() == 0:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
        if ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()):
            raise OSError("root's powers cannot be dropped")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
