"""The one door through which readers open what a user named.

A reader gets files that are there, regular, not larger than it expects, below the user's folder, and text in UTF-8.
"""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from lmk.errors import DataError, FormatError, ImageError, LmkError
from lmk.image_header import size_of
from lmk.limits import IMAGE_BYTES
from lmk.names import Folder, Links
from lmk.reading import opened, read_bytes

LOOKED_AT = 10_000  # names that are enough to say whether a folder is of a format
HEAD = 1 << 16  # bytes that decide of which format a file is
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # Python keeps bytes that are no UTF-8 as surrogates
_OTHER_UNICODE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Source:
    """A folder, or a single file."""

    path: Path
    links: Links = "refuse"  # that lead out of the folder
    images: Path | None = None  # the folder that images' names start from, where it is not the labels'

    @property
    def image_folder(self) -> Path:
        """The folder that images' names start from."""
        return Folder(self.path, self.links, self.images).root.path

    def files(self, *endings: str) -> list[Path]:
        """Files below the folder that end so, in any case, in one order on every machine.

        Links are followed, each folder is entered once, and a link that leads out of the folder is refused where the
        user has not allowed it: what lies there would be shown as the dataset's own.
        """
        found: list[Path] = []
        linked: list[Path] = []
        seen: set[str] = set()
        waiting = [self.path]
        while waiting or linked:
            # Folders before links to them: a folder that is there twice is named by its own name.
            folder = waiting.pop() if waiting else linked.pop()
            real = os.path.realpath(folder)
            if real in seen:
                continue
            seen.add(real)
            for path, is_folder, is_link in _entries(folder):
                if not is_folder and path.suffix.lower() not in endings:
                    continue
                if is_link:
                    self.check(path)
                if not is_folder:
                    found.append(path)
                elif is_link:
                    linked.append(path)
                else:
                    waiting.append(path)
        return sorted(found, key=self.name)

    def check(self, file: Path) -> None:
        """Refuse a link that leads out of the folder, where the user has not allowed these."""
        Folder(self.path, self.links).check(file)

    def name(self, file: Path) -> str:
        """A file's name relative to the folder, with `/`."""
        name = file.relative_to(self.path).as_posix()
        if _UNPRINTABLE.search(name):
            raise DataError(f"{self.path}: the file {name!r} has characters in its name that are no text; rename it")
        return name

    def image_size(self, name: str) -> tuple[int, int]:
        """Width and height of an image, by its name."""
        file = Folder(self.path, self.links, self.images).root.file(name)
        return size_of(read_bytes(file, IMAGE_BYTES, ImageError, "no such image; the labels name it"), file)

    def data(self, file: Path, limit: int) -> bytes:
        """All bytes of a file of at most `limit` bytes."""
        return read_bytes(file, limit)

    def text(self, file: Path, limit: int) -> str:
        """The text of a file of at most `limit` bytes, line ends as they are, without a byte order mark."""
        data = self.data(file, limit)
        check_encoding(file, data)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as cause:
            raise _not_text(file, cause) from cause

    @contextmanager
    def open_bytes(self, file: Path) -> Iterator[BinaryIO]:
        """A file of any size."""
        with opened(file) as stream:
            yield stream

    @contextmanager
    def open_utf8(self, file: Path) -> Iterator[BinaryIO]:
        """The bytes of a text file of any size, behind its byte order mark; refused where it is in UTF-16 or UTF-32."""
        with self.open_bytes(file) as stream:
            start = stream.read(4)
            check_encoding(file, start)
            stream.seek(len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0)
            yield stream

    @contextmanager
    def open_text(self, file: Path) -> Iterator[TextIO]:
        """A file of any size as text, line ends as they are, without a byte order mark."""
        with self.open_bytes(file) as raw:
            check_encoding(file, raw.read(4))
            raw.seek(0)
            try:
                with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as stream:
                    yield stream
            except UnicodeDecodeError as cause:
                raise _not_text(file, cause) from cause


def first_in(folder: Path, fits: Callable[[Path, list[str]], bool]) -> Path | None:
    """The first file of a folder, and of those in it, that looks like a format's; never raises.

    Args:
        folder: where to look.
        fits: (a file, all names beside it) to whether it does.
    """
    looked = 0
    try:
        for place, _, names in os.walk(folder):
            for name in sorted(names):
                if fits(Path(place, name), names):
                    return Path(place, name).relative_to(folder)
            looked += len(names)
            if looked > LOOKED_AT:
                break
    except ValueError:  # a path that no file can have
        return None
    return None


def head(path: Path) -> bytes:
    """The first bytes of a file, for `sniff`; none of what is no readable file."""
    try:
        with opened(path) as stream:
            return stream.read(HEAD)
    except LmkError:
        return b""


def _entries(folder: Path) -> list[tuple[Path, bool, bool]]:
    """What lies in a folder, by name: whether it is a folder, whether it is a link."""
    try:
        with os.scandir(folder) as entries:
            return sorted((folder / entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries)
    except OSError as cause:
        raise DataError(f"{folder}: cannot be read ({cause.strerror})") from cause


def check_encoding(file: Path, data: bytes) -> None:
    """Refuse text whose first bytes say that it is not UTF-8."""
    if data.startswith(_OTHER_UNICODE):
        raise FormatError(f"{file}: UTF-16 or UTF-32 text; save it as UTF-8")


def _not_text(file: Path, cause: UnicodeDecodeError) -> FormatError:
    return FormatError(f"{file}: not text in UTF-8, but something binary or text in another encoding ({cause.reason})")
