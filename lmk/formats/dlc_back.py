"""New numbers in a table of DeepLabCut, CSV or H5; all else stays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lmk.formats.changes import Changes, in_style_of
from lmk.formats.csv_cells import WORD, cell_text, records
from lmk.formats.dlc_files import (
    HEADER,
    VALUES,
    Columns,
    csv_numbers,
    data_of,
    h5_rows,
    image_of,
    image_path,
    opened_h5,
    points_of,
)
from lmk.formats.dlc_project import Project
from lmk.formats.pixels import Points


@dataclass(frozen=True)
class Back:
    """New numbers for one table."""

    project: Project
    who: list[list[tuple[int, int]]]
    columns: Columns

    def moved(self, path: str, points: Points, file: Path, changes: Changes) -> dict[int, float]:
        """New numbers of one row, by column behind the index."""
        found: dict[int, float] = {}
        image = image_of(path, file, self.project.root)
        for number, one in enumerate(self.who):
            row = changes.keys.get((image, number))
            if row is None:
                continue
            absent = set(range(changes.scheme.size))
            for column, landmark in one:
                absent.discard(landmark)
                new = changes.new(row, landmark, (points[column, 0], points[column, 1]), str(file))
                for place, value in zip((self.columns.x, self.columns.y), new, strict=True):
                    if value is not None:
                        found[int(place[column])] = value
            for landmark in absent:  # a body part that this table does not have
                changes.new(row, landmark, (math.nan, math.nan), str(file))
        return found

    def h5(self, file: Path, target: Path, changes: Changes) -> None:
        """Into an H5 file that lies at its new place already."""
        new: dict[int, dict[int, float]] = {}
        for columns, row, path, values in h5_rows(file):
            if found := self.moved(path, points_of(values, columns, f"{file}: row {row}"), file, changes):
                new[row] = found
        if new:
            with opened_h5(target, "r+") as group:
                for row, cells in new.items():
                    numbers: NDArray[Any] = data_of(group, VALUES, target)[row]
                    numbers[list(cells)] = list(cells.values())
                    group[VALUES][row] = numbers

    def csv(self, file: Path, target: Path, changes: Changes) -> None:
        """Into a CSV."""
        with self.project.source.open_bytes(file) as old, target.open("wb") as new:
            header = True
            start = old.read(3)
            if start == b"\xef\xbb\xbf":
                new.write(start)
            else:
                old.seek(0)
            for line, record, spans in records(old, file):
                place = f"{file}: line {line}"
                cells = [cell_text(record[slice(*span)], place) for span in spans]
                if not header and record.strip():
                    record = self._changed(record, spans, cells, (place, file, changes))
                header = header and (cells[:1] != [HEADER[-1]])
                new.write(record)

    def _changed(
        self, record: bytes, spans: list[tuple[int, int]], cells: list[str], where: tuple[str, Path, Changes]
    ) -> bytes:
        place, file, changes = where
        index = self.columns.index
        points = points_of(csv_numbers(cells[index:], self.columns, place), self.columns, place)
        new = self.moved(image_path(cells[:index]), points, file, changes)
        for column in sorted(new, reverse=True):
            word = WORD.search(record, *spans[index + column])
            assert word is not None  # it has been read as a number
            text = in_style_of(word[0].decode(), new[column]).encode()
            record = record[: word.start()] + text + record[word.end() :]
        return record
