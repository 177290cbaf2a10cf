"""Objects in Label Studio's tasks: which keypoints belong together, and where they stand in the task.

Keypoints are of one object where they have the same `parentID`, a rectangle's as a rule, or are joined by relations.
Those of an annotation that are joined to nothing are one object, unless a label is there twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from lmk.errors import FormatError
from lmk.formats.base import Losses
from lmk.images import SUFFIXES
from lmk.reading import is_text, whole

OURS = "lmk"  # what the version of a model starts with in predictions that lmk writes
_UPLOADED = re.compile(r"/data/upload/(?:.*/)?(?:[0-9a-f]{8}-)?([^/]+)")
_LARGEST = 1e6  # per cent
Place = tuple[int, int]  # number of the annotation in its task, and of the region in that


@dataclass
class Labelled:
    """One object as one annotator labelled it."""

    image: str
    annotator: str | None
    size: tuple[float, float] | None = None  # of the image, where a region says it
    points: dict[str, tuple[float, float]] = field(default_factory=dict)  # per cent, by label
    places: dict[str, Place] = field(default_factory=dict)


def annotations_of(task: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The annotations, or the predictions, of a task; very old exports call the former completions."""
    found = task.get(kind) or (task.get("completions") if kind == "annotations" else None) or []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def is_ours(annotation: dict[str, Any]) -> bool:
    """Whether lmk made a prediction: its rectangles are instances, whether or not they have points."""
    return str(annotation.get("model_version")).startswith(f"{OURS} ")


def regions_of(annotation: dict[str, Any]) -> list[dict[str, Any]]:
    """The regions of an annotation."""
    found = annotation.get("result")
    return [each if isinstance(each, dict) else {} for each in found] if isinstance(found, list) else []


def label_of(region: dict[str, Any]) -> str | None:
    """The label of a region that is a keypoint."""
    value = region.get("value")
    labels = value.get("keypointlabels") if isinstance(value, dict) else None
    if region.get("type") != "keypointlabels" or not isinstance(labels, list) or not labels:
        return None
    return labels[0] if isinstance(labels[0], str) and is_text(labels[0]) else None


def objects_of(task: dict[str, Any], kind: str, where: str, losses: Losses) -> Iterator[Labelled]:
    """All objects of a task in order; what does not come through is added to the losses.

    Args:
        task: it.
        kind: annotations or predictions.
        where: file and task, for messages.
        losses: to add to.
    """
    image: str | None = None
    for number, annotation in enumerate(annotations_of(task, kind)):
        if annotation.get("was_cancelled"):
            losses.add("cancelled annotations", 1, where)
            continue
        regions = regions_of(annotation)
        if any(region.get("image_rotation") for region in regions):
            losses.add("annotations of images that are turned in Label Studio", 1, where)
            continue
        image = image or image_of(task, where)
        yield from _objects(
            regions, number, Labelled(image, _annotator(annotation, where)), annotation, (where, losses)
        )


def _objects(
    regions: list[dict[str, Any]], number: int, blank: Labelled, annotation: dict[str, Any], told: tuple[str, Losses]
) -> Iterator[Labelled]:
    where, losses = told
    ours = is_ours(annotation)
    joined = _joined(regions)
    found: dict[Any, Labelled] = {}
    for place, region in enumerate(regions):
        kind, label = region.get("type"), label_of(region)
        root = joined.get(_id(region))  # None for what is joined to nothing
        if label is None:
            if ours and kind == "rectanglelabels":
                found.setdefault(root or _id(region), Labelled(blank.image, blank.annotator, _size(region)))
            elif kind != "relation":
                losses.add(f"regions of type {kind!r:.40}" + " without a label" * (kind == "keypointlabels"), 1, where)
            continue
        one = found.setdefault(root, Labelled(blank.image, blank.annotator))
        if label in one.points:
            raise FormatError(
                f"{where}: label {label!r:.60} is there twice, and nothing says of which object; draw a rectangle "
                "around each object and put its keypoints into it (parentID), or join them by relations"
            )
        size = _size(region)
        if size is not None and one.size is not None and size != one.size:
            raise FormatError(f"{where}: regions of one image disagree on its size, {one.size} and {size}")
        one.size = one.size or size
        one.points[label], one.places[label] = _position(region, where), (number, place)
    yield from found.values()


def _joined(regions: list[dict[str, Any]]) -> dict[Any, Any]:
    """What each region with a partner is joined to, by id: the same for all that belong together."""
    root: dict[Any, Any] = {}

    def top(one: Any) -> Any:
        while root.setdefault(one, one) != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    for region in regions:
        ends = (
            (region.get("from_id"), region.get("to_id"))
            if region.get("type") == "relation"
            else (_id(region), region.get("parentID"))
        )
        if all(isinstance(end, str | int) for end in ends):
            root[top(ends[0])] = top(ends[1])
    return {one: top(one) for one in list(root)}


def _id(region: dict[str, Any]) -> Any:
    identity = region.get("id")
    return identity if isinstance(identity, str | int) else None


def _size(region: dict[str, Any]) -> tuple[float, float] | None:
    width, height = region.get("original_width"), region.get("original_height")
    if type(width) is int and type(height) is int and 0 < width < 1 << 31 and 0 < height < 1 << 31:
        return width, height
    return None


def _position(region: dict[str, Any], where: str) -> tuple[float, float]:
    value = region["value"]
    x, y = value.get("x"), value.get("y")
    for number in (x, y):
        if type(number) not in (int, float) or not abs(number) < _LARGEST:  # NaN is not less than anything
            raise FormatError(f"{where}: keypoint {region.get('id')!r:.40} is at {x!r:.40}, {y!r:.40}, no percentages")
    return x, y


def _annotator(annotation: dict[str, Any], where: str) -> str | None:
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    if who is None:
        return None
    if type(who) not in (str, int) or not is_text(str(who)):
        raise FormatError(f"{where}: completed_by is {who!r:.40}; it is an id or an address")
    return str(who)


def image_of(task: dict[str, Any], where: str) -> str:
    """The name of a task's image: what its address says behind host or bucket, without what an upload put before it."""
    data = task.get("data")
    texts = {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    named = [texts[key] for key in ("image", "img") if key in texts]
    named = named or [text for text in texts.values() if any(suffix in text[-99:].lower() for suffix in SUFFIXES)]
    if not named:
        raise FormatError(f"{where}: data names no image")
    address = named[0]
    if address.startswith("data:"):
        raise FormatError(f"{where}: its image is inside of it, and lmk reads images from files; put it into one")
    with whole(where, "its image has no address that can be read"):
        parts = urlsplit(address)
    if parts.path.startswith("/data/local-files") and (inside := parse_qs(parts.query).get("d")):
        return inside[0].replace("\\", "/").lstrip("/")
    if uploaded := _UPLOADED.fullmatch(parts.path):
        return unquote(uploaded[1])
    return unquote(parts.path).lstrip("/") if parts.scheme and parts.netloc else address.replace("\\", "/")
