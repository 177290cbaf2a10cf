"""A set as a COCO file, an annotation a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.formats.base import Loss
from lmk.formats.coco_header import OURS
from lmk.formats.doubts import NAME, doubts_of
from lmk.formats.edges import Edge, edges_of
from lmk.formats.instances import renumbered
from lmk.formats.pixels import Points, texts_of
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

_DECIMALS = 6  # a 64th of a pixel is .015625


@dataclass(frozen=True)
class Category:
    """What annotations of a file are: the category's own words, and where the points of the scheme go."""

    name: str
    names: tuple[str, ...]  # of the landmarks under `keypoints`
    skeleton: list[Edge]
    parts: Mapping[str, slice]  # the scheme's points under each key
    description: str = "written by lmk"

    @classmethod
    def of(cls, scheme: LandmarkScheme) -> Category:
        """All points under `keypoints`."""
        return cls(scheme.name, scheme.names, edges_of(scheme.contours), {"keypoints": slice(0, scheme.size)})


def write_coco(
    annotations: AnnotationSet,
    points: Points,
    target: Path,
    about: Category,
    step: int,
    seen: NDArray[np.int64] | None = None,
) -> Sequence[Loss]:
    """Write one file.

    Args:
        annotations: the set.
        points: (N, L, 2) in numbers of the file; of other points than the set's, too, if `seen` says so.
        target: the file.
        about: what the points are.
        step: annotations that are made at a time.
        seen: (N, L) 0 missing, 1 occluded, 2 visible; as in the set where None.
    """
    instances = annotations.instances
    numbers, names = pd.factorize(instances["image"])
    first = np.unique(numbers, return_index=True)[1]
    sizes = instances[["width", "height"]].to_numpy(np.int64)[first]
    info = {"description": about.description, OURS: "centre"}
    category = {
        "id": 1,
        "name": about.name,
        "keypoints": list(about.names),
        "skeleton": [[one + 1, other + 1] for one, other in about.skeleton],
    }
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{"info": {_json(info)},\n"categories": [{_json(category)}],\n"images": [\n')
        images = zip(names, sizes.tolist(), strict=True)
        for number, (name, (width, height)) in enumerate(images):
            image = {"id": number + 1, "file_name": name, "width": width, "height": height}
            file.write((",\n" if number else "") + _json(image))
        file.write('\n],\n"annotations": [\n')
        visibility = annotations.column("visibility") if seen is None else seen
        doubts = doubts_of(annotations)
        for start in range(0, len(instances), step):
            rows = slice(start, start + step)
            said = np.asarray(visibility[rows], np.int64)
            lines = _lines(points[rows], said, numbers[rows] + 1, start + 1, about.parts)
            if doubts is not None:
                landmarks = annotations.scheme.names
                lines = [_with_doubts(line, doubt, landmarks) for line, doubt in zip(lines, doubts[rows], strict=True)]
            file.write((",\n" if start else "") + ",\n".join(lines))
        file.write("\n]}\n")
    return renumbered(annotations)


def _lines(
    points: Points, visibility: NDArray[np.int64], images: NDArray[Any], first: int, parts: Mapping[str, slice]
) -> list[str]:
    """Some annotations, whose ids count from the first."""
    there = visibility > 0
    texts = texts_of(np.where(there[..., None], points, 0), _DECIMALS)
    boxes = _boxes(points, there)
    lines = []
    for row, (image, box) in enumerate(zip(images.tolist(), boxes.tolist(), strict=True)):
        said: dict[str, Any] = {
            "id": first + row,
            "image_id": image,
            "category_id": 1,
            "iscrowd": 0,
            "num_keypoints": int(there[row, parts["keypoints"]].sum()),
            "bbox": box,
            "area": round(box[2] * box[3], 2),
        }
        said |= {key.replace("_kpts", "_valid"): bool(there[row, part].any()) for key, part in parts.items()
                 if key != "keypoints"}  # fmt: skip
        flat = zip(*[iter(texts[row])] * 2, visibility[row].tolist(), strict=True)
        triples = [f"{x}, {y}, {v}" if v else "0, 0, 0" for x, y, v in flat]
        lists = "".join(f', "{key}": [{", ".join(triples[part])}]' for key, part in parts.items())
        lines.append(f"{_json(said)[:-1]}{lists}}}")
    return lines


def _with_doubts(line: str, doubts: NDArray[Any], landmarks: Sequence[str]) -> str:
    """One annotation with what is doubted of its points, as CVAT and FiftyOne keep what they do not know."""
    found = {name: doubt for name, doubt in zip(landmarks, doubts, strict=True) if doubt}
    return f'{line[:-1]}, "attributes": {_json({NAME: found})}}}' if found else line


def _boxes(points: Points, there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, 4) left edge, top edge, width and height around the labelled points, from the image's corner."""
    low = np.where(there[..., None], points, np.inf).min(1)
    high = np.where(there[..., None], points, -np.inf).max(1)
    empty = ~there.any(1)
    low[empty], high[empty] = -0.5, -0.5
    return np.round(np.column_stack([low + 0.5, high - low]), 2)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
