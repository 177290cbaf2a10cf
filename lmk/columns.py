"""The columns of an annotation set: their types on disk, and how memory holds them.

Memory keeps what an instance's points share once an instance, and the rest as (N, K) arrays in the file's types, NaN
where the file has null.  Text of points is small whole numbers into a few words: a string object a point would take
ten times the memory of the point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.errors import DataError

KEYS = ["image", "instance", "landmark"]

# Every column there is, in the order of the file.  `optional` ones are absent where nobody knows them.
COLUMNS: dict[str, str] = {
    "image": "string",
    "instance": "int32",
    "landmark": "int16",
    "x": "float64",  # of a point that nobody moved, the number that the file said
    "y": "float64",
    "visibility": "uint8",  # 0 not labelled, 1 occluded, 2 visible
    "split": "string",
    "iteration": "int16",
    "width": "int32",
    "height": "int32",
    "box_x": "float32",  # left edge of the crop; the left edge of the image is at -0.5
    "box_y": "float32",
    "box_size": "float32",
    "annotator": "string",
    "source": "string",
    "gross": "string",  # truth of rendered sets only: swap, shift, slip or empty
}
# What explains a refined point; null where nothing was searched.
EVIDENCE: dict[str, str] = {
    "prior_cost": "float32",  # lambda |y - o|^2 of Eq. 8
    "chi2": "float32",  # chi-square of Eq. 4 at the refined point
    "chi2_observed": "float32",  # the same where the search started
    "peak": "float32",  # largest value of the heatmap in reach of the search; 1 is the training target's
    "spread": "float32",  # standard deviation of the heatmap there, pixels of the image
    "at_edge": "bool",  # the search ended at the edge of its window
    "fold": "int8",  # which fold's model judged it; 0 where one model judged all
    # Expected distances to the true point, root mean square, pixels of the image; `consensus` only.
    "error_before": "float32",  # of the human point
    "error_after": "float32",  # of the refined point
    "error_along": "float32",  # the part of `error_after` along the contour; to the right, off contours
    "error_network": "float32",  # of the network's prediction
    "suspicion": "float32",  # probability that the human point is a gross error; `consensus` only, for all splits
    "reason": "string",  # the likeliest kind of gross error, where one is likelier than not
    "kept": "string",  # why the search left the human point where it is; `consensus` only
    "repeats": "int16",  # the iteration whose labels these are, where the alternation has stopped
}
OLD_NAMES = {"error": "error_after"}  # what a column was called before
OPTIONAL = {"annotator", "source", "gross", *EVIDENCE}
TYPES = {**COLUMNS, **EVIDENCE}
OF_INSTANCE = ["image", "instance", "split", "iteration", "width", "height", "box_x", "box_y", "box_size"]
OF_EITHER = ["annotator", "source"]  # of the instance, unless its points differ
OF_POINT = ["x", "y", "visibility", "gross", *EVIDENCE]
# A position, or a box, that was just computed stays exact until it is written.
_EXACT = {"x", "y", "box_x", "box_y", "box_size"}


@dataclass(frozen=True, eq=False)
class Words:
    """Text of many points in few different words: (N, K) places in `words`, -1 where there is none."""

    codes: NDArray[np.signedinteger[Any]]
    words: tuple[str, ...]

    @classmethod
    def of(cls, texts: Any) -> Words:
        """Find the words of an array of strings; None and NaN are no text."""
        shape = np.shape(texts)
        codes, words = pd.factorize(np.asarray(texts, object).reshape(-1))
        return cls(_small(codes, len(words)).reshape(shape), tuple(map(str, words)))

    def texts(self) -> NDArray[np.object_]:
        """The strings, None where there is none; equal ones are one object."""
        texts: NDArray[np.object_] = np.array([*self.words, None], object)[self.codes]
        return texts

    def without(self, gone: NDArray[np.bool_]) -> Words:
        """The same, without the text of some points, (N, K)."""
        return Words(np.where(gone, np.int8(-1), self.codes), self.words)

    def reshape(self, *shape: int) -> Words:
        """The same in another shape."""
        return Words(self.codes.reshape(*shape), self.words)

    def __getitem__(self, rows: Any) -> Words:
        return Words(self.codes[rows], self.words)

    def __len__(self) -> int:
        return len(self.codes)


Values = NDArray[Any] | Words


def flat(values: Values) -> Any:
    """All values in one row, text as pandas holds it."""
    if not isinstance(values, Words):
        return values.reshape(-1)
    return pd.array(list(values.words), dtype="str").take(values.codes.reshape(-1).astype(np.intp), allow_fill=True)


def spread(values: Values, shape: tuple[int, ...]) -> Values:
    """The values in a larger shape, without a copy."""
    if not isinstance(values, Words):
        return np.broadcast_to(values, shape)
    return Words(np.broadcast_to(values.codes, shape), values.words)


def _small(codes: NDArray[Any], words: int) -> NDArray[np.signedinteger[Any]]:
    """The codes in the smallest type that has room for all of them."""
    return codes.astype(next(kind for kind in (np.int8, np.int16, np.int32) if words <= np.iinfo(kind).max))


def held(name: str, values: Any) -> Values:
    """One column as memory holds it, in the shape that it is given in; what its type in the file would change stays."""
    kind = TYPES[name]
    if kind == "string":
        return Words.of(values)
    array = np.asarray(values) if not isinstance(values, pd.Series) else values.to_numpy()
    if array.dtype == object:  # None among numbers
        array = pd.Series(array.reshape(-1)).to_numpy(np.float64, na_value=np.nan).reshape(array.shape)
    if name in _EXACT:
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    if kind == "float32":
        return array.astype(np.float32, copy=False)
    null = array.dtype.kind == "f" and np.isnan(array).any()
    with np.errstate(invalid="ignore"):
        fitting = array.astype(_with_null(kind) if null else kind, copy=False)
        same = np.array_equal(fitting, array, equal_nan=bool(null))
    return fitting if same else array


def _with_null(kind: str) -> str:
    """The smallest type of numbers that has all of another's, and NaN."""
    return "float64" if kind == "int32" else "float32"


class _Stack:
    """The rows of one column, put one under the other; what is there is not copied again for each part."""

    def __init__(self, expected: int, null: NDArray[Any]):
        self._expected, self._null, self._array, self._rows = expected, null, np.empty((0, 1), null.dtype), 0

    def add(self, part: NDArray[Any], start: int) -> None:
        """Put (n, 1) or (n, K) values at a row; rows that no part has had are null."""
        if start > self._rows:
            self.add(np.broadcast_to(self._null, (start - self._rows, part.shape[1])), self._rows)
        end, fresh = start + len(part), not len(self._array)
        kind = part.dtype if fresh else np.result_type(self._array, part)
        if fresh:
            self._array = np.empty((max(end, self._expected), part.shape[1]), kind)
        if kind != self._array.dtype:
            self._array = self._array.astype(kind)
        if part.shape[1] > self._array.shape[1]:
            self._array = np.repeat(self._array, part.shape[1], axis=1)
        if end > len(self._array):  # moves pages, not bytes, where arrays are large
            self._array.resize((max(end, len(self._array) * 3 // 2), self._array.shape[1]), refcheck=False)
        self._array[start:end] = part
        self._rows = end

    def done(self, rows: int) -> NDArray[Any]:
        """(rows, 1 or K) all of them."""
        if self._rows < rows:
            self.add(np.broadcast_to(self._null, (rows - self._rows, self._array.shape[1])), self._rows)
        if len(self._array) > rows:
            self._array.resize((rows, self._array.shape[1]), refcheck=False)
        return self._array


class Pile:
    """A set that grows part by part: instances, and the columns of their points."""

    def __init__(self, expected: int = 0):
        """Make room for so many instances at once, if their number is known."""
        self.rows = 0
        self._expected = expected
        self._instances: list[pd.DataFrame] = []
        self._stacks: dict[str, _Stack] = {}
        self._words: dict[str, dict[str, int]] = {}

    def add(self, instances: pd.DataFrame, values: Mapping[str, Values]) -> None:
        """Put n instances and their columns, each (n, K), under what is there."""
        for name, part in values.items():
            if isinstance(part, Words):
                known = self._words.setdefault(name, {})
                places = [known.setdefault(word, len(known)) for word in part.words]
                codes = _small(np.array([*places, -1]), len(known))[part.codes]
                same = name in OF_EITHER and bool((codes == codes[:, :1]).all())
                array, null = codes[:, :1] if same else codes, np.array(-1, np.int8)
            else:
                array, null = part, np.array(np.nan, np.float32)
            self._stacks.setdefault(name, _Stack(self._expected, null)).add(array, self.rows)
        self._instances.append(instances)
        self.rows += len(instances)

    def done(self) -> tuple[pd.DataFrame, dict[str, Values]]:
        """All instances, and all columns."""
        instances = pd.concat(self._instances, ignore_index=True)
        values: dict[str, Values] = {}
        for name, stack in self._stacks.items():
            array = stack.done(self.rows)
            values[name] = Words(array, tuple(self._words[name])) if name in self._words else array
        for name in OF_EITHER:
            if name in values:
                words = values[name]
                assert isinstance(words, Words)
                instances[name] = flat(words[:, :1])
                if words.codes.shape[1] == 1:
                    del values[name]
        return instances, values


def fold(table: pd.DataFrame, size: int, where: str) -> tuple[pd.DataFrame, dict[str, Values]]:
    """Split a long table, K rows an instance in the order of the landmarks, into instances and columns of points."""
    instances, values = {}, {}
    for name in OF_INSTANCE:
        column = held(name, table[name])
        shared = (column.codes if isinstance(column, Words) else column).reshape(-1, size)
        if not same_in_instance(shared).all():
            row = table.iloc[int(np.flatnonzero(~same_in_instance(shared).reshape(-1))[0])]
            raise DataError(
                f"{where}: {row['image']} instance {row['instance']}: its points do not agree on {name}; "
                "give all points of an instance the same"
            )
        instances[name] = flat(column[::size])
    for name in [*OF_EITHER, *OF_POINT]:
        if name in table:
            column = held(name, table[name])
            values[name] = column.reshape(-1, size)
    return pd.DataFrame(instances), values


def same_in_instance(values: NDArray[Any]) -> NDArray[np.bool_]:
    """(N, K) which points have what their instance's first has; nothing is the same as nothing."""
    same = values == values[:, :1]
    return np.asarray(same | (values != values) & (values[:, :1] != values[:, :1]))
