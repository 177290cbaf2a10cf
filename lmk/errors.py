"""Every mistake that a user of `lmk` can make, as one family.

A message is one line: where it happened, what is wrong, and what would work.  The command line prints it as it is and
exits with the class's `exit_code`; anything that is not an `LmkError` is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

LONGEST = 1000  # characters of a message; what a file or a command line puts into it may be longer


class LmkError(Exception):
    """Something that the user can put right."""

    exit_code = 1

    def __init__(self, message: str = ""):
        super().__init__(one_line(message))


class UnknownName(LmkError):
    """A name that the user wrote is not in the registry that it refers to."""

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(sorted(known))}")


class ConfigError(LmkError):
    """A parameter file or a `--set` has an unknown key, a wrong type or an impossible value."""


class SchemeError(LmkError):
    """A landmark scheme contradicts itself, or does not fit the data it is used with."""


class FormatError(LmkError):
    """A file is not what its format promises."""


class ImageError(LmkError):
    """An image is missing, truncated, or not an image."""


class DataError(LmkError):
    """Annotations that cannot be worked with: nothing there, duplicates, sets that do not match."""


class ModelError(LmkError):
    """A checkpoint that is damaged, or made for something else."""


class ValidationFailed(LmkError):
    """A set of annotations did not pass the gate; the message names the first offenders."""


class QueryError(LmkError):
    """A question in SQL that cannot be answered, or that would do more than ask."""


class OutOfMemory(LmkError):
    """Work that needs more memory than there is."""


_LACKS = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "bad allocation")


@contextmanager
def enough_memory(what: str, smaller: str) -> Iterator[None]:
    """Say in one line that some work lacked memory, Python's, numpy's, or torch's on a processor or a GPU.

    Args:
        what: the work.
        smaller: what a user can make smaller.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as cause:
        said = str(cause)
        if not isinstance(cause, MemoryError) and not any(text in said for text in _LACKS):
            raise
        asked = re.search(r"allocate ([\d.]+ \w+)", said)
        raise OutOfMemory(
            f"{what}: not enough memory{f' for {asked[1]} more' if asked else ''}; make {smaller} smaller"
        ) from cause


class Lost(LmkError):
    """Something that a user would not have lost (`--strict`)."""

    exit_code = 3


class GateBroken(LmkError):
    """An audit found what the user wants to be stopped by; a line for each gate."""

    exit_code = 3

    def __init__(self, message: str):
        Exception.__init__(self, "\n".join(map(one_line, message.split("\n"))))


def one_line(message: str) -> str:
    """A message with what a file has put into it: no line ends, nothing that steers a terminal, no endless words."""
    if not message.isprintable():
        message = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in message)
    if len(message) > LONGEST:
        message = f"{message[: LONGEST * 2 // 3]} … {message[-LONGEST // 4 :]}"
    return message
