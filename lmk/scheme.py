"""Landmark schemes: what each of the K points means.

A scheme is data, not behaviour.  Everything that needs to know that point 36 is an eye corner, that 36 and 45 swap
under a mirror, or which way the jaw runs, asks the scheme.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmk.errors import SchemeError, UnknownName
from lmk.limits import POINTS, SCHEME_BYTES
from lmk.reading import parse_json, read_text

Index = tuple[int, ...]
_KEYS = {"name", "points", "contours", "mirror", "normalisers"}


@dataclass(frozen=True)
class LandmarkScheme:
    """The meaning of K points; see `parse_scheme` for the file that it comes from."""

    name: str
    names: tuple[str, ...]
    contours: tuple[Index, ...] = ()  # a closed contour ends where it starts
    mirror: tuple[tuple[int, int], ...] = ()
    normalisers: tuple[tuple[str, tuple[Index, Index]], ...] = ()
    says_mirror: bool = True  # whether `mirror` is what somebody has said; else it is to be found in the data

    @property
    def size(self) -> int:
        """K, the number of points of one instance."""
        return len(self.names)

    @cached_property
    def neighbours(self) -> NDArray[np.int64]:
        """(K, 2) the points before and after each point on its first contour; -1 twice where it lies on none.

        At an open end the point itself stands in for the neighbour that is not there.
        """
        found = np.full((self.size, 2), -1)
        for contour in self.contours:
            closed = contour[0] == contour[-1]
            chain = contour[:-1] if closed else contour
            for place, point in enumerate(chain):
                if found[point, 0] < 0:
                    before, after = place - 1, place + 1
                    if closed:
                        found[point] = chain[before], chain[after % len(chain)]
                    else:
                        found[point] = chain[max(before, 0)], chain[min(after, len(chain) - 1)]
        return found

    @cached_property
    def chains(self) -> tuple[tuple[tuple[int, ...], bool], ...]:
        """Contours as different points in order, and whether the last is followed by the first."""
        return tuple(
            (contour[:-1], True) if contour[0] == contour[-1] and len(contour) > 1 else (contour, False)
            for contour in self.contours
        )

    @cached_property
    def flip(self) -> NDArray[np.int64]:
        """(K,) where each point goes when the image is mirrored; the identity for points without a partner."""
        order = np.arange(self.size)
        for left, right in self.mirror:
            order[left], order[right] = right, left
        return order

    def tangents(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Return the unit direction of the contour at each point, NaN where there is none.

        Args:
            points: (..., K, 2).

        Returns:
            (..., K, 2): the difference of the point's two neighbours on its first contour, scaled to length 1.
        """
        before, after = self.neighbours.T
        along = points[..., after, :].astype(np.float64) - points[..., before, :]
        length = np.linalg.norm(along, axis=-1, keepdims=True)
        on_contour = (before >= 0)[:, None] & (length > 0)
        unit = np.full_like(along, np.nan)
        np.divide(along, length, out=unit, where=on_contour)
        return np.asarray(unit)

    def to_json(self) -> dict[str, Any]:
        """The content of a scheme file."""
        return {
            "name": self.name,
            "points": list(self.names),
            "contours": [list(contour) for contour in self.contours],
            **({"mirror": [list(pair) for pair in self.mirror]} if self.says_mirror else {}),
            "normalisers": {name: [list(group) for group in groups] for name, groups in self.normalisers},
        }


def known_schemes() -> list[str]:
    """Names of the schemes that are shipped with the package."""
    return sorted(
        entry.name[: -len(".json")]
        for entry in resources.files("lmk.schemes").iterdir()
        if entry.name.endswith(".json")
    )


def load_scheme(name_or_path: str) -> LandmarkScheme:
    """Return a shipped scheme by its name, or a user's own by the path of its JSON file."""
    if name_or_path.endswith(".json"):
        missing = f"no such scheme file; shipped schemes: {', '.join(known_schemes())}"
        text = read_text(Path(name_or_path), SCHEME_BYTES, SchemeError, missing)
        return parse_scheme(text, where=name_or_path)
    if name_or_path not in known_schemes():
        raise UnknownName("scheme", name_or_path, [*known_schemes(), "or the path of a .json file"])
    text = resources.files("lmk.schemes").joinpath(f"{name_or_path}.json").read_text(encoding="utf-8")
    return parse_scheme(text, where=name_or_path)


def parse_scheme(text: str, where: str) -> LandmarkScheme:
    """Read a scheme from JSON.

    `{"name": …, "points": K or a list of names, "contours": [[…]], "mirror": [[i, j], …], "normalisers":
    {"interpupil": [[i…], [j…]]}}`; only name and points are needed.  Without
    "mirror", ingesting looks for symmetry in the points; an empty list says that there is none.  A contour of fewer
    than two different points is dropped: templates of drawing programs have them for single dots.
    """
    raw = parse_json(text, where, SchemeError)
    if not isinstance(raw, dict) or not {"name", "points"} <= raw.keys():
        raise SchemeError(f'{where}: a scheme is an object with at least "name" and "points"')
    if unknown := raw.keys() - _KEYS:
        raise SchemeError(f"{where}: unknown key {sorted(unknown)[0]!r}; known: {', '.join(sorted(_KEYS))}")
    if not isinstance(raw["name"], str | int | float):
        raise SchemeError(f'{where}: "name" is text, not {raw["name"]!r:.40}')
    points = raw["points"]
    if (len(points) if isinstance(points, list) else points if isinstance(points, int) else 0) > POINTS:
        raise SchemeError(f'{where}: "points" are more than {POINTS:,}; no scheme has so many')
    if isinstance(points, int) and not isinstance(points, bool) and points > 0:
        names = tuple(f"p{k:0{len(str(points - 1))}d}" for k in range(points))
    elif isinstance(points, list) and points and all(isinstance(name, str) for name in points):
        names = tuple(points)
    else:
        raise SchemeError(f'{where}: "points" is a positive number or a list of names, not {points!r:.40}')
    if len(set(names)) < len(names):
        raise SchemeError(f'{where}: "points" names {_first_repeated(names)!r} twice')

    def group(value: Any, what: str) -> Index:
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(k, int) and not isinstance(k, bool) and 0 <= k < len(names) for k in value)
        ):
            raise SchemeError(f"{where}: {what} wants point numbers from 0 to {len(names) - 1}, not {value!r:.60}")
        return tuple(value)

    def section(key: str, kind: type) -> Any:
        value = raw.get(key, kind())
        if not isinstance(value, kind):
            raise SchemeError(f"{where}: {key!r} is a {'list' if kind is list else 'mapping'}, not {value!r:.40}")
        return value

    contours = [group(value, "a contour") for value in section("contours", list)]
    mirror = [group(value, "a mirror pair") for value in section("mirror", list)]
    if bad := [pair for pair in mirror if len(pair) != 2]:
        raise SchemeError(f"{where}: a mirror pair is two points, not {list(bad[0])}")
    # A pair of a point with itself only says that the point lies on the axis.
    paired = [k for pair in mirror if pair[0] != pair[1] for k in pair]
    if len(set(paired)) < len(paired):
        raise SchemeError(f'{where}: "mirror" has point {_first_repeated(paired)} in two pairs')
    normalisers = []
    for name, value in section("normalisers", dict).items():
        if not isinstance(value, list) or len(value) != 2:
            raise SchemeError(f"{where}: normaliser {name!r} is two lists of points, not {value!r:.40}")
        normalisers.append((name, (group(value[0], f"normaliser {name!r}"), group(value[1], f"normaliser {name!r}"))))
    return LandmarkScheme(
        name=str(raw["name"]),
        names=names,
        contours=tuple(contour for contour in contours if len(set(contour)) > 1),
        mirror=tuple((pair[0], pair[1]) for pair in mirror if pair[0] != pair[1]),
        normalisers=tuple(normalisers),
        says_mirror="mirror" in raw,
    )


def _first_repeated(values: Any) -> Any:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    raise ValueError("nothing is repeated")
