"""What a CVAT file calls its landmarks: the labels of its `<meta>`, and how its points are drawn.

One object may be a skeleton, single points that a group joins, or all its points in one list.  The first that is drawn
decides for the whole file.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from lmk.errors import FormatError
from lmk.formats.edges import contours_of
from lmk.formats.landmarks import chosen, named
from lmk.formats.source import Source
from lmk.formats.xml_places import Event, events
from lmk.scheme import LandmarkScheme, parse_scheme

Kind = Literal["skeletons", "single points", "lists of points"]
_ENDS = frozenset({"skeleton"})
_TAG = re.compile(r"<(?:line|circle)\b[^<>]*>")
_ATTRIBUTE = re.compile(r"""\s(data-[a-z-]+)=(?:"([^"]*)"|'([^']*)')""")
_NOTHING = "no skeletons or points in it; export the task from CVAT once it is annotated, as 'CVAT for images 1.1'"


@dataclass(frozen=True)
class Label:
    """A label of `<meta>`."""

    name: str
    kind: str  # skeleton, points, rectangle, …, any; empty in old files
    parent: str  # the skeleton that it is a point of, or empty
    svg: str  # the drawing of a skeleton


@dataclass(frozen=True)
class Layout:
    """Which shapes of a file are landmarks, and of what number.

    Attributes:
        kind: how objects are drawn.
        label: of skeletons and lists of points.
        numbers: of the file's names of landmarks, in the scheme.
        scheme: of the landmarks.
        subset: of all images, where these do not say their own.
    """

    kind: Kind
    label: str
    numbers: dict[str, int]
    scheme: LandmarkScheme
    subset: str


@dataclass
class _Meta:
    """What `<meta>` has said so far."""

    labels: list[Label] = field(default_factory=list)
    subset: str = ""
    _texts: dict[str, str] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        name, attributes, _, text = event
        if attributes is not None:
            self._texts = {} if name == "label" else self._texts
        elif name == "label":
            about = self._texts
            self.labels.append(
                Label(about.get("name", ""), about.get("type", ""), about.get("parent", ""), about.get("svg", ""))
            )
        elif name == "subset":
            self.subset = text.strip()
        else:
            self._texts.setdefault(name, text)  # an attribute of the label has a name, too, behind the label's own

    def points_of(self, skeleton: str) -> list[str]:
        """The points of a skeleton, in the order of the file."""
        return list(dict.fromkeys(label.name for label in self.labels if label.parent == skeleton))


def layout_of(source: Source, asked: LandmarkScheme | None, notes: list[str]) -> Layout:
    """Look at a file as far as is needed to know what its landmarks are."""
    meta = _Meta()
    stream = events(source, source.path, _ENDS, "meta")
    kind, label, count = _first(stream, meta, asked, str(source.path))
    stream.close()
    where = f"{source.path}: {label}" if label else str(source.path)
    if kind == "lists of points":
        scheme = chosen(asked, count, where)
        return Layout(kind, label, {}, scheme, meta.subset)
    names = meta.points_of(label) if kind == "skeletons" else []
    if not names:
        names = _used(source, kind, label, meta)
    if asked is not None and set(names) <= set(asked.names):  # those that nobody used are not in the file
        return Layout(kind, label, {name: k for k, name in enumerate(asked.names)}, asked, meta.subset)
    brought = _scheme(names, label or source.path.stem, where, _edges(meta, label, names))
    scheme, order = named(asked, brought, where, notes)
    numbers = {name: int(number) for name, number in zip(names, order, strict=True)}
    return Layout(kind, label, numbers, scheme, meta.subset)


def _first(stream: Iterator[Event], meta: _Meta, asked: LandmarkScheme | None, where: str) -> tuple[Kind, str, int]:
    """How the first object is drawn, its label, and how many points it has."""
    in_meta = True
    for event in stream:
        name, attributes, _, _ = event
        if (name == "meta" and attributes is None) or name == "image":
            in_meta = False
        elif attributes is None or in_meta:
            meta.take(event)
        elif name == "skeleton":
            return "skeletons", _skeleton(attributes.get("label", ""), meta, asked), 0
        elif name == "points":
            count = attributes.get("points", "").count(";") + 1
            if count > 1:
                return "lists of points", attributes.get("label", ""), count
            return "single points", "", 1
        elif name == "track":
            raise FormatError(
                f"{where}: tracks of a video (CVAT for video 1.1); in CVAT choose Export dataset, CVAT for images 1.1, "
                "which has one entry for each frame"
            )
    raise FormatError(f"{where}: {_NOTHING}")


def _skeleton(first: str, meta: _Meta, asked: LandmarkScheme | None) -> str:
    """The label of the skeletons that are read: those that the user's scheme fits, else those of the first object."""
    labels = [label.name for label in meta.labels if label.kind == "skeleton"]
    if asked is None or not labels:
        return first
    by_names = [label for label in labels if set(meta.points_of(label)) == set(asked.names)]
    by_number = [label for label in labels if len(meta.points_of(label)) == asked.size]
    fitting = by_names or by_number
    return first if first in fitting or not fitting else fitting[0]


def _used(source: Source, kind: Kind, label: str, meta: _Meta) -> list[str]:
    """Names of landmarks that are in use, in the order of `<meta>`, else of the file."""
    used: dict[str, None] = {}
    skeleton: str | None = None
    for name, attributes, _, _ in events(source, source.path, _ENDS):
        if name == "skeleton":
            skeleton = None if attributes is None else attributes.get("label", "")
        elif name == "points" and attributes is not None:
            single = skeleton is None and ";" not in attributes.get("points", "")
            if single if kind == "single points" else skeleton == label:
                used.setdefault(attributes.get("label", ""))
    known = [each.name for each in meta.labels if each.name in used]
    return list(dict.fromkeys([*known, *used]))


def _scheme(names: list[str], name: str, where: str, edges: list[tuple[int, int]]) -> LandmarkScheme:
    if not names:
        raise FormatError(f"{where}: its skeletons have no points")
    return parse_scheme(json.dumps({"name": name, "points": names, "contours": contours_of(edges)[0]}), where)


def _edges(meta: _Meta, label: str, names: list[str]) -> list[tuple[int, int]]:
    """The edges of a skeleton as its drawing has them, between numbers of its points."""
    svg = next((each.svg for each in meta.labels if each.name == label and each.kind == "skeleton"), "")
    numbers = {name: number for number, name in enumerate(names)}
    nodes: dict[str, int] = {}
    lines: list[tuple[str, str]] = []
    for tag in _TAG.findall(svg):
        about = {key: html.unescape(one or other) for key, one, other in _ATTRIBUTE.findall(tag)}
        if about.get("data-label-name") in numbers:
            nodes[about.get("data-node-id", "")] = numbers[about["data-label-name"]]
        elif about.get("data-type") == "edge":
            lines.append((about.get("data-node-from", ""), about.get("data-node-to", "")))
    return [(nodes[one], nodes[other]) for one, other in lines if one in nodes and other in nodes]
