"""A project of DeepLabCut: its tables, their columns, and which landmark of which individual each column is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from lmk.errors import FormatError
from lmk.formats.base import Losses
from lmk.formats.dlc_files import SINGLE, Columns, Unreadable, config_of, csv_header, h5_columns, tables_of
from lmk.formats.edges import BRANCHED, contours_of
from lmk.formats.source import Source
from lmk.scheme import LandmarkScheme, parse_scheme


@dataclass
class Project:
    """The tables of a project, their columns, and which landmark each of these is."""

    source: Source
    notes: list[str] = field(default_factory=list)
    losses: Losses = field(default_factory=Losses)

    def __post_init__(self) -> None:
        self.config = config_of(self.source)
        scorer = self.config.get("scorer")
        self.tables: list[tuple[Path | None, Path | None]] = []
        self.columns: list[Columns] = []
        for h5, table in tables_of(self.source, None if scorer is None else str(scorer)):
            self._add(h5, table)

    def _add(self, h5: Path | None, table: Path | None) -> None:
        if h5 is not None:
            try:
                found = h5_columns(h5)[0]
            except Unreadable as cause:
                if table is None:
                    raise
                self.notes.append(f"{cause}; {table.name} beside it is read")
                h5 = None
        if h5 is None:
            assert table is not None  # of each pair one is there
            found = csv_header(self.source, table)
        self.tables.append((h5, table))
        self.columns.append(found)

    @property
    def brought(self) -> LandmarkScheme:
        """The scheme: body parts in the order of the project, else of the first table."""
        parts = dict.fromkeys(part for columns in self.columns for one, part in columns.landmarks if one != SINGLE)
        said = self.config.get("multianimalbodyparts") or self.config.get("bodyparts")
        if isinstance(said, list) and {str(part) for part in said} >= parts.keys():
            parts = dict.fromkeys(str(part) for part in said)
        if not parts:
            raise FormatError(f"{self.source.path}: no body part that each individual has")
        names = list(parts)
        edges = self.config.get("skeleton") or []
        known = [
            (names.index(str(edge[0])), names.index(str(edge[1])))
            for edge in (edges if isinstance(edges, list) else [])
            if isinstance(edge, list) and len(edge) == 2 and {str(end) for end in edge} <= parts.keys()
        ]
        contours, lost = contours_of(known)
        if lost:
            self.losses.add(BRANCHED, len(lost), f"{names[lost[0][0]]} to {names[lost[0][1]]}")
        where = str(self.source.path)
        about = {"name": str(self.config.get("Task") or self.source.path.stem), "points": names, "contours": contours}
        return parse_scheme(json.dumps(about), where)

    @property
    def root(self) -> Path:
        """The folder that holds the tables."""
        return self.source.path if self.source.path.is_dir() else self.source.path.parent


def individuals(columns: Columns, scheme: LandmarkScheme, numbers: dict[str, int]) -> list[list[tuple[int, int]]]:
    """(column, landmark) of each individual that has body parts of the scheme."""
    found: dict[str, list[tuple[int, int]]] = {}
    for column, (one, part) in enumerate(columns.landmarks):
        if one != SINGLE:
            found.setdefault(one, []).append((column, numbers[part]))
    return list(found.values())
