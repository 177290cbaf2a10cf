"""Label files in a folder: where new ones go, and what an image's name becomes without its ending."""

from __future__ import annotations

from pathlib import Path

from lmk.errors import DataError
from lmk.formats.source import Source


def check_new(target: Path) -> None:
    """Refuse to write over anything."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: is there already and not empty; name a new folder, so that no label is lost")


def check_other(target: Path, source: Source) -> None:
    """Refuse to write over the one file that labels were read from."""
    if target.resolve() == source.path.resolve():
        raise DataError(f"{target}: is what the labels were read from; name another file")


def put(folder: Path, name: str, data: bytes) -> None:
    """Write a file below a folder."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
