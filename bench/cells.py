"""Cells: the results of a bench, one line of JSON each in docs/results/NAME.jsonl.

A cell is measured once for one key, such as (noise, faces, seed), and notes the recipe that it was made with.  Making
one can take an hour, so every cell is kept as soon as it is made: a killed run goes on where it was, a part of a bench
can be run alone, and several processes may fill different cells of one bench at the same time.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from lmk.config import Section, default_profile, load_params
from lmk.errors import FormatError
from lmk.store import digest_of, write_text

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SEEDS = (11, 12, 13)
Cell = dict[str, Any]
Key = tuple[Any, ...]


@cache
def profile() -> str:
    """A digest of those sections of the default profile that change labels or networks, by more than rounding."""
    params = load_params(default_profile())
    names = ("model", "training", "augmentation", "alternation", "refine")
    sections = {name: plain(getattr(params, name)) for name in names}
    refiners = {name: refiner.model_dump() for name, refiner in params.refiners.items()}
    return digest_of(params.data.box_scale, refiners, sections)


def plain(section: Section) -> dict[str, Any]:
    """A section without what changes the rounding of sums alone."""
    return {name: value for name, value in section.model_dump().items() if name != "threads"}


class Cells:
    """The cells of one bench.

    Args:
        name: of the bench and of its file.
        fields: of a cell that are its key; lines are sorted by it.
        recipe: from these fields, by name, to what a cell of today notes of how it was made.  A cell that notes
            something else is out of date: it stays in the file until it is made again, and no page shows it.
        folder: of the file.
    """

    def __init__(
        self,
        name: str,
        fields: tuple[str, ...],
        recipe: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        folder: Path = RESULTS,
    ):
        self.name, self.fields, self.recipe, self.folder = name, fields, recipe, folder

    @property
    def path(self) -> Path:
        """The file of all cells."""
        return self.folder / f"{self.name}.jsonl"

    def key(self, cell: Mapping[str, Any]) -> Key:
        """The place of a cell."""
        return tuple(cell[name] for name in self.fields)

    def valid(self, cell: Mapping[str, Any]) -> bool:
        """Whether a cell was made with the recipe of today."""
        recipe = self.recipe({name: cell[name] for name in self.fields})
        return all(cell.get(name) == value for name, value in recipe.items())

    def up_to_date(self, *key: Any) -> bool:
        """Whether there is a cell with this key that was made with the recipe of today."""
        cell = self._read().get(key)
        return cell is not None and self.valid(cell)

    def all(self) -> list[Cell]:
        """All cells, in the order of their keys."""
        return list(self._read().values())

    def current(self) -> list[Cell]:
        """All cells that are up to date, in the order of their keys."""
        return [cell for cell in self.all() if self.valid(cell)]

    def keep(self, key: Key, result: Mapping[str, Any]) -> Cell:
        """Keep a result under its key and today's recipe, in place of what was there; the other cells stay.

        The file is read, merged and replaced under a lock, so that two processes lose nothing of each other's.
        """
        place = dict(zip(self.fields, key, strict=True))
        cell = {**place, **self.recipe(place), **result}
        with _locked(self.folder):
            cells = {**self._read(), key: cell}
            write_text("".join(self._line(cells[key]) for key in sorted(cells)), self.path)
        return cell

    def fill(
        self,
        wanted: Iterable[Key],
        make: Callable[..., Mapping[str, Any]],
        say: Callable[[Cell], str],
        options: argparse.Namespace,
    ) -> None:
        """Make and keep the cells that are missing or out of date, one after the other.

        Args:
            wanted: keys.
            make: from the fields of a key and the folder for datasets and networks to the result.
            say: from a cell to what is printed of it.
            options: `again` makes cells that are up to date as well, `page` makes none, `work` is the folder.
        """
        if options.page:
            return
        missing = [key for key in wanted if options.again or not self.up_to_date(*key)]
        for number, key in enumerate(missing, start=1):
            if not options.again and self.up_to_date(*key):  # another process was faster
                continue
            cell = self.keep(key, make(*key, options.work))
            print(f"{self.name} {' '.join(map(str, key))} ({number} of {len(missing)}): {say(cell)}", flush=True)

    def _read(self) -> dict[Key, Cell]:
        cells: dict[Key, Cell] = {}
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        for number, line in enumerate(lines, start=1):
            try:
                cell = json.loads(line)
                key = self.key(cell)
            except (ValueError, TypeError, KeyError) as cause:
                raise FormatError(f"{self.path}:{number}: not a cell of this bench; take the file from git") from cause
            if key in cells:
                twice = " ".join(map(str, key))
                raise FormatError(f"{self.path}:{number}: a second cell of {twice}; delete one of the two lines")
            cells[key] = cell
        return cells

    def _line(self, cell: Cell) -> str:
        """The key first, everything else by name: a reader sees at once which cell a line is."""
        rest = {name: cell[name] for name in sorted(cell) if name not in self.fields}
        return json.dumps({**{name: cell[name] for name in self.fields}, **rest}) + "\n"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait until no other process writes results there; the folder itself is locked, so that no file is left behind."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def parser_of(name: str, doc: str | None) -> argparse.ArgumentParser:
    """The options that all benches have."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=(doc or "").splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder for datasets and networks")
    parser.add_argument("--seed", type=int, action="append", help=f"only this one (default: {SEEDS})")
    parser.add_argument("--again", action="store_true", help="make cells again that are up to date")
    parser.add_argument("--page", action="store_true", help="make no cells, only write the page")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of this run, all seeds where none is named."""
    options = parser.parse_args()
    if not options.page and options.work is None:
        parser.error("name a folder for datasets and networks with --work")
    options.seed = options.seed or list(SEEDS)
    return options
