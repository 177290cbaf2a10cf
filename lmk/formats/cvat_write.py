"""Writes CVAT for images 1.1: a skeleton for each instance, and a label for CVAT to make of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.formats.base import Loss, Losses, Trait
from lmk.formats.doubts import NAME, doubts_of
from lmk.formats.pixels import Points, text_of
from lmk.formats.xml_places import escaped, quoted, start_tag
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

_ATTRIBUTE = (
    f"<attribute><name>{NAME}</name><mutable>False</mutable><input_type>text</input_type>"
    "<default_value></default_value><values></values></attribute>"
)  # of every point, where some are doubtful
_DECIMALS = 6  # a 64th of a pixel is .015625
_LOOKED_AT = 1000  # instances whose mean is drawn as the skeleton
_MARGIN, _CANVAS = 10.0, 100.0  # of a skeleton's drawing, as CVAT draws it


def write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write one XML file."""
    losses = Losses()
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        doubts = doubts_of(annotations)
        _write_meta(file, annotations, points, "" if doubts is None else _ATTRIBUTE)
        _write_images(file, annotations, points, doubts, losses)
        file.write("</annotations>\n")
    return list(losses)


def _write_meta(file: TextIO, annotations: AnnotationSet, points: Points, attributes: str) -> None:
    scheme, images = annotations.scheme, annotations.instances["image"].nunique()
    label = [("name", scheme.name), ("type", "skeleton"), ("attributes", ""), ("svg", _drawing(scheme, points))]
    file.write(f"  <meta>\n    <task>\n      <size>{images}</size>\n      <mode>annotation</mode>\n      <labels>\n")
    _write_label(file, label)
    for name in scheme.names:
        about = [("name", name), ("type", "points"), ("attributes", ""), ("parent", scheme.name)]
        _write_label(file, about, attributes)
    file.write("      </labels>\n    </task>\n  </meta>\n")


def _write_label(file: TextIO, about: list[tuple[str, str]], attributes: str = "") -> None:
    inside = "".join(f"          <{name}>{escaped(text)}</{name}>\n" for name, text in about)
    inside = inside.replace("<attributes></attributes>", f"<attributes>{attributes}</attributes>")
    file.write(f"        <label>\n{inside}        </label>\n")


def _drawing(scheme: LandmarkScheme, points: Points) -> str:
    """A skeleton as CVAT wants it: its points where they are on average, its edges along the contours."""
    places = _mean_shape(points[:_LOOKED_AT]).round(2).tolist()
    edges = dict.fromkeys(pair for contour in scheme.contours for pair in pairwise(contour))
    drawn = []
    for one, other in edges:
        (x1, y1), (x2, y2) = places[one], places[other]
        ends = {"x1": f"{x1}", "y1": f"{y1}", "x2": f"{x2}", "y2": f"{y2}"}
        nodes = {"data-type": "edge", "data-node-from": f"{one + 1}", "data-node-to": f"{other + 1}"}
        drawn.append(start_tag("line", {**ends, **nodes}) + "</line>")
    for number, (name, (x, y)) in enumerate(zip(scheme.names, places, strict=True), 1):
        about = {"r": "0.75", "cx": f"{x}", "cy": f"{y}", "data-type": "element node", "data-element-id": f"{number}",
                 "data-node-id": f"{number}", "data-label-name": name}  # fmt: skip
        drawn.append(start_tag("circle", about) + "</circle>")
    return "".join(drawn)


def _mean_shape(points: Points) -> Points:
    """(K, 2) the mean of instances on the canvas; points that nobody labelled are put on a circle."""
    known = points[np.asarray(np.isfinite(points)).any(axis=(1, 2))]
    angle = 2 * math.pi * np.arange(points.shape[1]) / points.shape[1]
    shape = np.stack([np.cos(angle), np.sin(angle)], -1) / 2 + 0.5
    if len(known):
        low = np.nanmin(known, axis=1, keepdims=True)
        side = np.maximum(np.nanmax(known, axis=1, keepdims=True) - low, 1.0).max(-1, keepdims=True)
        inside, there = np.nan_to_num((known - low) / side), np.asarray(np.isfinite(known).all(-1))
        seen = there.sum(0)
        shape[seen > 0] = (inside * there[..., None]).sum(0)[seen > 0] / seen[seen > 0, None]
    return np.asarray(_MARGIN + shape * (_CANVAS - 2 * _MARGIN))


def _write_images(
    file: TextIO, annotations: AnnotationSet, points: Points, doubts: NDArray[Any] | None, losses: Losses
) -> None:
    instances, said = annotations.instances, bool((annotations.instances["split"] != "train").any())
    starts = np.flatnonzero(instances["image"] != instances["image"].shift()).tolist()
    visibility = annotations.column("visibility")
    before = [f'      <points label={quoted(name)} source="manual" ' for name in annotations.scheme.names]
    skeleton = start_tag("skeleton", {"label": annotations.scheme.name, "source": "manual", "z_order": "0"})
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(instances)], strict=True)):
        image = instances.iloc[start]
        about = {
            "id": f"{number}",
            "name": image["image"],
            "width": f"{image['width']}",
            "height": f"{image['height']}",
        }
        if said:
            about["subset"] = image["split"]
        file.write(f"  {start_tag('image', about)}\n")
        for row in range(start, end):
            _check(instances.iloc[row], row - start, image, losses)
            file.write(f"    {skeleton}\n")
            file.writelines(_points(before, points[row], visibility[row], None if doubts is None else doubts[row]))
            file.write("    </skeleton>\n")
        file.write("  </image>\n")


def _check(instance: Any, number: int, first: Any, losses: Losses) -> None:
    """Count what an image cannot say of its instances."""
    name = f"{instance['image']} instance {instance['instance']}"
    if instance["instance"] != number:
        losses.add(Trait.SEVERAL, 1, f"{name} is instance {number} of its image then")
    if instance["split"] != first["split"]:
        losses.add(Trait.SPLIT, 1, f"{name} gets the split of its image, {first['split']}")


def _points(before: list[str], points: Points, visibility: NDArray[Any], doubts: NDArray[Any] | None) -> Iterator[str]:
    """The points of one skeleton; a missing one is put where the others are, so that it can be found in CVAT."""
    there = np.asarray(np.isfinite(points).all(-1, keepdims=True))
    if not there.all():
        middle = np.round(points[there[:, 0]].mean(0), 2) if there.any() else np.zeros(2)
        points = np.where(there, points, middle)
    said = [""] * len(before) if doubts is None else [_said(doubt) for doubt in doubts]
    for start, (x, y), seen, doubt in zip(before, points.tolist(), visibility.tolist(), said, strict=True):
        state = f'outside="{int(seen == 0)}" occluded="{int(seen == 1)}"'
        yield f'{start}{state} points="{text_of(x, _DECIMALS)},{text_of(y, _DECIMALS)}">{doubt}</points>\n'


def _said(doubt: str) -> str:
    return f'<attribute name="{NAME}">{escaped(doubt)}</attribute>'
