"""Label files in a folder: which there are, which image lies beside each, and where new ones go."""

from __future__ import annotations

from pathlib import Path

from lmk.errors import DataError, ImageError
from lmk.formats.source import Source
from lmk.images import SUFFIXES

Beside = dict[Path, list[Path]]  # the images of each name without its ending


def label_files(source: Source, ending: str, reads: str) -> tuple[list[Path], Beside]:
    """All label files in order, and the images of each name without its ending.

    Args:
        source: a folder.
        ending: of the label files.
        reads: what the format reads, for messages.
    """
    if not source.path.is_dir():
        raise DataError(f"{source.path}: no such folder; {reads}")
    files: list[Path] = []
    beside: Beside = {}
    for file in source.files(ending, *SUFFIXES):
        if file.suffix.lower() == ending:
            files.append(file)
        else:
            beside.setdefault(file.with_suffix(""), []).append(file)
    if not files:
        raise DataError(f"{source.path}: no {ending} files in it; {reads}")
    return files, beside


def image_of(file: Path, beside: Beside, source: Source, with_images: bool) -> str:
    """The image beside a label file, by its name; without images, that name without its ending."""
    there = beside.get(file.with_suffix(""), [])
    if len(there) > 1:
        raise DataError(f"{file}: two images have its name, {there[0].name} and {there[1].name}; keep one of them")
    if not there and with_images:
        raise ImageError(f"{file}: no image beside it; expected {file.stem} with one of {' '.join(SUFFIXES)}")
    return source.name(there[0] if there else file.with_suffix(""))


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
