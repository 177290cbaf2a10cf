"""How files are opened that somebody else may have made: regular, of a bounded size, and one line for what is wrong.

All readers of the project come through here, `formats/source.py` for labels included.  `limits.py` says how much a
file may hold.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

from lmk.errors import FormatError, LmkError
from lmk.limits import DIGITS, NESTING

_MIB = 1 << 20
# What reading a file that is damaged, or made by somebody else, raises.
_NOT_AS_IT_SHOULD_BE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, MemoryError
)  # fmt: skip
_LIBRARIES = {  # with exceptions of their own
    "pyarrow", "yaml", "safetensors", "duckdb", "_duckdb", "pandas", "cv2", "zlib", "struct", "sqlite3",
}  # fmt: skip
_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


@contextmanager
def whole(file: Path | str, what: str, kind: type[LmkError] = FormatError) -> Iterator[None]:
    """Turn whatever a file that is not what it should be raises into one line.

    Args:
        file: it, for the message.
        what: what that means, as in "not a whole Parquet file".
        kind: of the mistake.
    """
    try:
        yield
    except LmkError:
        raise
    except Exception as cause:
        library = type(cause).__module__.partition(".")[0]
        if not isinstance(cause, _NOT_AS_IT_SHOULD_BE) and library not in _LIBRARIES:
            raise
        raise kind(f"{file}: {what} ({in_words(cause)})") from cause


def in_words(cause: BaseException) -> str:
    """What an exception says, on one short line."""
    if isinstance(cause, RecursionError):
        return f"nested deeper than {NESTING} levels"
    if isinstance(cause, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(cause, KeyError):
        return f"no {cause.args[0]!r:.60}" if cause.args else "something is missing"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return " ".join(str(cause).split())[:120] or type(cause).__name__


def check_file(file: Path, limit: int, kind: type[LmkError] = FormatError, missing: str = "") -> None:
    """Refuse what is no regular file of at most `limit` bytes, for libraries that open files by their name.

    Args:
        file: it.
        limit: bytes.
        kind: of the mistake.
        missing: what to say where there is no such file.
    """
    with opened(file, kind, missing) as stream:
        if os.fstat(stream.fileno()).st_size > limit:
            _too_large(file, limit, kind)


@contextmanager
def opened(file: Path, kind: type[LmkError] = FormatError, missing: str = "") -> Iterator[BufferedReader]:
    """Open a regular file of any size; what never ends, or waits for somebody, is refused: devices, pipes, sockets."""
    try:
        stream = _open(file, kind)
    except FileNotFoundError as cause:
        raise kind(f"{file}: {missing or f'cannot be read ({cause.strerror})'}") from cause
    except (OSError, ValueError) as cause:
        raise kind(f"{file}: cannot be read ({in_words(cause)})") from cause
    with stream:
        try:
            yield stream
        except OSError as cause:
            raise kind(f"{file}: cannot be read ({in_words(cause)})") from cause


def read_bytes(file: Path, limit: int, kind: type[LmkError] = FormatError, missing: str = "") -> bytes:
    """All bytes of a file of at most `limit` bytes."""
    with opened(file, kind, missing) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        _too_large(file, limit, kind)
    return data


def read_text(file: Path, limit: int, kind: type[LmkError] = FormatError, missing: str = "") -> str:
    """The text of a file of at most `limit` bytes, without a byte order mark."""
    try:
        return read_bytes(file, limit, kind, missing).decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise kind(f"{file}: not text in UTF-8, but something binary ({cause.reason})") from cause


def read_json(file: Path, limit: int, kind: type[LmkError] = FormatError, missing: str = "") -> Any:
    """The content of a JSON file of at most `limit` bytes."""
    return parse_json(read_text(file, limit, kind, missing), str(file), kind)


def parse_json(text: str | bytes, where: str, kind: type[LmkError] = FormatError) -> Any:
    """The content of JSON, with numbers and nesting that a program can work with."""
    with whole(where, "not JSON", kind):
        found = json.loads(text, parse_int=_whole_number, parse_float=_number)
    check_tree(found, where, kind)
    return found


def check_tree(tree: Any, where: str, kind: type[LmkError]) -> None:
    """Refuse what was parsed but nobody can work with: deep nesting, text that is no text."""
    waiting = [(tree, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > NESTING:
            raise kind(f"{where}: nested deeper than {NESTING} levels; is it something else?")
        if isinstance(value, dict):
            waiting += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple):
            waiting += [(part, depth + 1) for part in value]
        elif isinstance(value, str) and not is_text(value):
            raise kind(f"{where}: {value!r:.60} has characters that are no text")


def check_digits(number: str) -> None:
    """Refuse to make a number of text that is too long for one; a ValueError, for parsers."""
    if len(number) > DIGITS:
        raise ValueError(f"a number of {len(number)} digits, {number[:20]}…; {DIGITS} are enough")


def _whole_number(number: str) -> int:
    check_digits(number)
    return int(number)


def _number(number: str) -> float:
    check_digits(number)
    found = float(number)
    if found in (float("inf"), float("-inf")):
        raise ValueError(f"{number} is too large for a number")
    return found


def is_text(value: str) -> bool:
    """Whether all characters are text: JSON may have halves of characters, which no file takes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _open(file: Path, kind: type[LmkError]) -> BufferedReader:
    _check_regular(file, file.stat().st_mode, kind)
    # It may have been exchanged since: without O_NONBLOCK a pipe would wait for its writer here.
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_regular(file, os.fstat(handle).st_mode, kind)
    except LmkError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def _check_regular(file: Path, mode: int, kind: type[LmkError]) -> None:
    if not stat.S_ISREG(mode):
        found = next((name for is_one, name in _KINDS.items() if is_one(mode)), "something else")
        raise kind(f"{file}: not a regular file, but {found}")


def _too_large(file: Path, limit: int, kind: type[LmkError]) -> NoReturn:
    raise kind(f"{file}: larger than {limit / _MIB:g} MiB, more than any such file; is it something else?")
