"""Files and folders that are whole or not there, and work that one process does alone."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lmk.errors import DataError

LOCK = ".lock"
ABANDONED = 24 * 3600.0  # seconds without a change after which a temporary file counts as left by a killed writer
# What a file system that knows no locks answers.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `path` when the block ends well, and is removed when it does not.

    Works for a file and for a folder (create it inside the block).  A kill at any moment leaves the old content, or
    none, never half of the new.  Of several writers at once each has a path of its own; the last to end is what stays.
    """
    path = path.absolute()
    with room_beside(path) as room:
        temporary = room / path.name
        yield temporary
        for file in sorted(temporary.rglob("*")) if temporary.is_dir() else [temporary]:
            _sync(file)
        if path.is_dir() and not temporary.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder is in the way", str(path))
        _put(temporary, path, room / "old")
        _sync(path.parent)


def _put(temporary: Path, path: Path, old: Path) -> None:
    """Rename one over the other, whatever other writers do meanwhile."""
    while True:
        try:
            temporary.replace(path)
        except OSError as error:
            over_link = error.errno == errno.ENOTDIR and path.is_symlink()
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) and not over_link:
                raise
            # A folder cannot be renamed over another that has something in it, nor over a link.
            remove(old)
            with suppress(FileNotFoundError):  # another writer was faster
                path.replace(old)
        else:
            return


@contextmanager
def room_beside(path: Path) -> Iterator[Path]:
    """A folder beside `path` that is this writer's alone; its lock says that the writer lives.

    It goes when the block ends; those that killed writers of `path` have left go when it begins.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    while True:
        room = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        with _locked(room) as taken:
            # Somebody may have swept it away before it was locked. Without locks its age is what protects it.
            if taken is not False and room.is_dir():
                try:
                    yield room
                finally:
                    remove(room)
                return


@contextmanager
def _locked(folder: Path) -> Iterator[bool | None]:
    """Lock a folder while the block runs: False where another process has it, None where nobody can tell."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield False
        return
    taken: bool | None = True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        taken = False
    except OSError:
        taken = None
    try:
        yield taken
    finally:
        os.close(handle)


def _sweep(path: Path) -> None:
    """Remove what killed writers of `path` have left."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}\.tmp")
    # Of versions that did not lock them.
    older = {f".{path.name}{ending}" for ending in (".tmp", ".old", ".partial")}
    for left in list(path.parent.iterdir()):
        with suppress(OSError):  # another writer was faster, or it is somebody else's
            if ours.fullmatch(left.name) and left.is_dir():
                with _locked(left) as taken:  # while it is removed, its writer cannot begin
                    if taken or _is_old(left):
                        remove(left)
            elif left.name in older and _is_old(left):
                remove(left)


def _is_old(left: Path) -> bool:
    """Whether nothing in it has changed for so long that nobody can be writing to it."""
    newest = max(part.lstat().st_mtime for part in (left, *left.rglob("*")))
    return time.time() - newest > ABANDONED


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a folder to this process while the block runs; a kill gives it free again."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("wb") as file:
        _take(file.fileno(), folder)
        yield


@contextmanager
def making(target: Path) -> Iterator[None]:
    """Keep a file or folder that is to be made to this process while the block runs; a kill gives it free again.

    Its lock lies beside it, and goes when the block ends, with the folders that were made for it and are empty.
    """
    place = target.absolute()
    missing = [folder for folder in place.parents if not folder.exists()]
    handle = _lock_beside(place, target)
    try:
        _sweep(place)  # now: a target that must be new is refused before anything is written
        yield
    finally:
        with suppress(OSError):
            _beside(place).unlink()
        os.close(handle)
        for folder in missing:
            with suppress(OSError):  # something is in it, or another process needs it
                folder.rmdir()


def _beside(place: Path) -> Path:
    return place.with_name(f".{place.name}{LOCK}")


def _lock_beside(place: Path, target: Path) -> int:
    """Open and take the lock of a place; `target` is what the user calls it."""
    patience = 100
    while True:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(_beside(place), os.O_WRONLY | os.O_CREAT, 0o644)
        except OSError as cause:
            # Another process may have just removed the folder that it had made; but there are places for no folder.
            patience -= 1
            if not patience or cause.errno != errno.ENOENT:
                raise OSError(cause.errno, cause.strerror, str(target)) from cause
            continue
        try:
            _take(handle, target)
            # Whoever had it may have removed it meanwhile, and another process made a new one.
            if os.fstat(handle).st_ino == _beside(place).stat().st_ino:
                return handle
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _take(handle: int, what: Path) -> None:
    """Take a lock, or say in one line why it cannot be had."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        raise DataError(f"{what}: another process is at work there; wait for it, or name another place") from cause
    except OSError as cause:
        if cause.errno not in _NO_LOCKS:
            raise DataError(
                f"{what}: cannot be kept to one process ({cause.strerror}); name a place on a local disk"
            ) from cause


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(text: str, path: Path) -> None:
    """Write text."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(content: Any, path: Path) -> None:
    """Write JSON for people and for `git diff`."""
    write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", path)
