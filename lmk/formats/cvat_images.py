"""The images of a CVAT file, one after the other, with the landmarks of their objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lmk.errors import FormatError
from lmk.formats.base import EMPTY, Losses
from lmk.formats.cvat_layout import Layout
from lmk.formats.source import Source
from lmk.formats.xml_places import events, pixels_of

_ENDS = frozenset({"image", "skeleton"})
_OTHER = {"box": "boxes", "polygon": "polygons", "polyline": "polylines", "ellipse": "ellipses", "cuboid": "cuboids",
          "mask": "masks", "tag": "tags", "attribute": "attributes"}  # fmt: skip


# A point as the file has it: its landmark, `x,y`, its visibility, the byte of its tag, and which of its pairs it is.
Dot = tuple[int, str, int, int, int]
Object = list[Dot]  # in the order of the file


@dataclass
class Image:
    """An image and its objects."""

    name: str
    size: tuple[float, float]
    subset: str
    objects: list[Object] = field(default_factory=list)
    groups: dict[str, Object] = field(default_factory=dict)


def images_of(source: Source, layout: Layout, losses: Losses) -> Iterator[Image]:
    """Every image of a file; what is in it besides landmarks is counted."""
    image: Image | None = None
    skeleton: Object | None = None
    in_skeleton, path, kind = False, source.path, layout.kind
    numbers, label = layout.numbers, layout.label
    for name, attributes, place, _ in events(source, path, _ENDS):
        if name == "points" and attributes is not None and image is not None:
            if skeleton is not None:
                number = numbers.get(attributes.get("label", ""))
                if number is None:
                    raise FormatError(
                        f"{path}: image {image.name}: a skeleton {label!r:.60} has a point "
                        f"{attributes.get('label', '')!r:.60}, which its label does not have"
                    )
                outside = attributes.get("outside") == "1"
                visibility = 0 if outside else 2 - (attributes.get("occluded") == "1")
                skeleton.append((number, attributes.get("points", ""), visibility, place, 0))
            elif in_skeleton or not _taken(image, attributes, place, layout, path):
                losses.add("shapes that are not of the landmarks", not in_skeleton, _example(image, attributes))
        elif name == "skeleton" and image is not None:
            in_skeleton, skeleton = attributes is not None, None
            if attributes is not None and kind == "skeletons" and attributes.get("label") == label:
                skeleton = []
                image.objects.append(skeleton)
            elif attributes is not None:
                losses.add("shapes that are not of the landmarks", 1, _example(image, attributes))
        elif name == "image":
            if attributes is None:
                assert image is not None  # a tag that ends has begun
                everything = [*image.objects, *image.groups.values()]
                image.groups, image.objects = {}, [each for each in everything if any(dot[2] for dot in each)]
                if len(image.objects) < len(everything):
                    losses.add(EMPTY, len(everything) - len(image.objects), image.name)
                yield image
                image = None
            else:
                image = _image(attributes, path)
        elif name == "track":
            raise FormatError(f"{path}: images and tracks in one file; export it as 'CVAT for images 1.1'")
        elif name in _OTHER and image is not None:
            losses.add(_OTHER[name], 1, _example(image, attributes or {}))


def _example(image: Image, attributes: dict[str, str]) -> str:
    return f"{attributes.get('label', attributes.get('name', ''))} of {image.name}"


def _image(attributes: dict[str, str], path: Path) -> Image:
    name = attributes.get("name", "").replace("\\", "/")
    return Image(name, pixels_of(attributes, name, path), attributes.get("subset", ""))


def _taken(image: Image, attributes: dict[str, str], place: int, layout: Layout, path: Path) -> bool:
    """Take points that lie in no skeleton, if the file's objects are drawn so."""
    label, texts = attributes.get("label", ""), attributes.get("points", "").split(";")
    visibility = 2 - (attributes.get("occluded") == "1")
    if layout.kind == "single points" and len(texts) == 1:
        group = attributes.get("group_id", "0")
        instance = image.groups.setdefault("0" if group == "" else group, [])
        number = layout.numbers[label]
        if any(dot[0] == number for dot in instance):
            raise FormatError(
                f"{path}: image {image.name}: two points {label!r:.60} in group {group}; join the points of each "
                "object in CVAT (Group, key G)"
            )
        instance.append((number, texts[0], visibility, place, 0))
        return True
    if layout.kind == "lists of points" and label == layout.label:
        if len(texts) != layout.scheme.size:
            raise FormatError(
                f"{path}: image {image.name}: {len(texts)} points in a list, but scheme {layout.scheme.name} has "
                f"{layout.scheme.size}"
            )
        image.objects.append([(number, text, visibility, place, number) for number, text in enumerate(texts)])
        return True
    return False
