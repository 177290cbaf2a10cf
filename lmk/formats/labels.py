"""Labels of points in tools that know nothing of landmarks: people type them, or choose them from a list."""

from __future__ import annotations

from collections.abc import Iterable

from lmk.errors import SchemeError
from lmk.formats.landmarks import scheme_of
from lmk.scheme import LandmarkScheme


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels in their order; by number, if they are numbers."""
    names = list(labels)
    return sorted(names, key=int) if _are_numbers(names) else names


def landmarks_of(
    asked: LandmarkScheme | None, labels: list[str], name: str, where: str, notes: list[str]
) -> tuple[LandmarkScheme, dict[str, int]]:
    """The scheme of points with labels, and the number in it of each label.

    Args:
        asked: what the user named.
        labels: all that there are, as `in_order` gives them.
        name: of the scheme, if the labels make one.
        where: the source, for messages.
        notes: what the user should know about it is added.
    """
    if asked is None:
        notes.append(f"landmarks are the {len(labels)} labels of the points, in the order in which they come")
        scheme = scheme_of(labels, name, where)
        return scheme, {label: number for number, label in enumerate(scheme.names)}
    own = {label: number for number, label in enumerate(asked.names)}
    unknown = [label for label in labels if label not in own]
    if not unknown:
        return asked, own
    if _are_numbers(labels):
        first = 0 if "0" in labels else 1
        if int(labels[-1]) < asked.size + first:
            notes.append(f"labels are numbers of landmarks, and count from {first}")
            return asked, {label: int(label) - first for label in labels}
    raise SchemeError(
        f"{where}: label {unknown[0]!r:.60} is no landmark of scheme {asked.name}; leave --scheme out, or give "
        "one whose names are the labels"
    )


def _are_numbers(labels: list[str]) -> bool:
    """Whether labels count landmarks: different whole numbers, without zeros before them."""
    return all(
        label.isascii() and label.isdecimal() and len(label) < 8 and label == str(int(label)) for label in labels
    )
