"""What parameters may name, and the file behind each name.

Nothing is imported until it is asked for, so that `--help` can list names at once, and a stage depends on the files
that its parameters name and on no others.  A new format is a file and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from lmk.errors import UnknownName


class Entry(NamedTuple):
    """One name."""

    place: str  # module:object
    says: str  # what it is, for --help
    corrects: bool = False  # a network on top of a detector that is trained already

    @property
    def module(self) -> str:
        """The dotted name of the file."""
        return self.place.partition(":")[0]

    def load(self) -> Any:
        """The object."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)


FORMATS = {
    "csv": Entry("lmk.formats.long_csv:CSV", "one CSV file, a row for each point"),
    "pts": Entry("lmk.formats.pts:PTS", "a .pts file beside each image"),
}


def entry(kind: str, name: str, known: Mapping[str, Entry]) -> Entry:
    """The entry of a name that a user wrote."""
    if name not in known:
        raise UnknownName(kind, name, known)
    return known[name]
