"""The numbers in our own modules that change a network or a label, as one digest for provenance.

A parameter is in the parameter file and so in provenance.  A constant of a module is neither; two results whose
provenance is equal must still have been made with equal constants.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from lmk import limits
from lmk.store import digest_of

# Modules that change no number.
_APART = (
    "lmk.console", "lmk.config", "lmk.errors", "lmk.image_header", "lmk.limits", "lmk.reading", "lmk.registry",
    "lmk.store", "lmk.workspace",
)  # fmt: skip


def constants(*roots: str) -> dict[str, Any]:
    """All numbers with capital names in some modules and in those of ours whose functions or classes they use."""
    found: dict[str, Any] = {}
    queue, seen = list(roots), set()
    while queue:
        name = queue.pop()
        if name in seen or name.startswith(_APART):
            continue
        seen.add(name)
        module = sys.modules[name]
        for key, value in vars(module).items():
            # What may be asked for changes nothing that was asked for: other limits are no reason to train again.
            if key.strip("_").isupper() and _is_plain(value) and getattr(limits, key, None) != value:
                found[f"{name}.{key}"] = value
            home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(home, str) and home.startswith("lmk."):
                queue.append(home)
    return found


def digest_of_constants(*roots: str) -> str:
    """A short name for them."""
    return digest_of(constants(*roots))


def _is_plain(value: Any) -> bool:
    """Whether a value is a number, or made of numbers only."""
    if isinstance(value, tuple):
        return all(_is_plain(each) for each in value)
    return isinstance(value, int | float) and not isinstance(value, bool)
