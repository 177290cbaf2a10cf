"""YAML as DVC reads it, with limits: aliases that stand for billions of values, endless nesting, numbers of a page."""

from __future__ import annotations

import re
from typing import Any

import yaml

from lmk.errors import ConfigError
from lmk.limits import DIGITS, ENTRIES, NESTING
from lmk.reading import check_tree, in_words


class _Loader(yaml.SafeLoader):
    """A SafeLoader for which 1e-3 is a number, not a word, and that counts what aliases stand for."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._entries = 0
        self._sizes: dict[int, int] = {}  # entries of a node, by its id

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        if self._depth > NESTING:
            raise yaml.YAMLError(f"nested deeper than {NESTING} levels")
        before, is_alias = self._entries, self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if is_alias and id(node) not in self._sizes:
            raise yaml.YAMLError("an alias that stands for what it is a part of")
        self._entries += self._sizes[id(node)] if is_alias else 1
        if self._entries > ENTRIES:
            raise yaml.YAMLError(f"more than {ENTRIES:,} entries, with what its aliases stand for")
        self._sizes.setdefault(id(node), self._entries - before)
        self._depth -= 1
        return node

    def construct_scalar(self, node: Any) -> Any:
        if node.tag in _NUMBERS and len(node.value) > DIGITS:
            raise yaml.YAMLError(f"a number of {len(node.value)} digits; {DIGITS} are enough")
        return super().construct_scalar(node)


_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_yaml(text: str, where: str, what: str) -> Any:
    """The content of YAML.

    Args:
        text: it.
        where: the file, or what else it stands in.
        what: what is wrong with text that is no YAML.
    """
    try:
        found = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as bad:
        words = " ".join(str(bad).split()) if isinstance(bad, yaml.YAMLError) else in_words(bad)
        raise ConfigError(f"{where}: {what} ({words})") from bad
    check_tree(found, where, ConfigError)
    return found
