"""What the first bytes of a JSON file show of its keys, for guesses of its format."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field

from lmk.formats.json_walk import MARK, OPEN, QUOTE, SPACE

_DEEPEST = 8  # levels that tell formats apart


@dataclass(frozen=True)
class Outline:
    """The start of a JSON file: whether it is a list, and the keys seen at each depth, the file's own at 1."""

    is_list: bool
    keys: dict[int, set[str]] = field(default_factory=dict)

    def at(self, depth: int) -> set[str]:
        """Keys of objects at a depth; those of the entries of a file that is a list are at depth 2."""
        return self.keys.get(depth, set())


def outline(head: bytes) -> Outline | None:
    """Look at the first bytes; None where they start no object and no list."""
    text = head.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n")
    if text[:1] not in (b"{", b"["):
        return None
    found, depth = Outline(text[:1] == b"["), 0
    for mark in MARK.finditer(text):
        first = text[mark.start()]
        if first != QUOTE:
            depth += 1 if first in OPEN else -1
        elif depth <= _DEEPEST:
            after = SPACE.match(text, mark.end())
            assert after is not None
            if text[after.end() : after.end() + 1] == b":":
                found.keys.setdefault(depth, set()).add(mark[0][1:-1].decode(errors="replace"))
        if depth <= 0:
            break
    return found
