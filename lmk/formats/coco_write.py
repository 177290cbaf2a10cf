"""A set as a COCO file, an annotation a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.formats.base import Loss
from lmk.formats.coco_file import OURS
from lmk.formats.instances import renumbered
from lmk.formats.pixels import Points, texts_of
from lmk.formats.skeleton import edges_of
from lmk.store import replacing

_DECIMALS = 6  # a 64th of a pixel is .015625


def write_coco(annotations: AnnotationSet, points: Points, target: Path, step: int) -> Sequence[Loss]:
    """Write one file; so many annotations are made at a time."""
    instances, scheme = annotations.instances, annotations.scheme
    numbers, names = pd.factorize(instances["image"])
    first = np.unique(numbers, return_index=True)[1]
    sizes = instances[["width", "height"]].to_numpy(np.int64)[first]
    info = {"description": "written by lmk", OURS: "centre"}
    category = {
        "id": 1,
        "name": scheme.name,
        "keypoints": list(scheme.names),
        "skeleton": [[one + 1, other + 1] for one, other in edges_of(scheme)],
    }
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{"info": {_json(info)},\n"categories": [{_json(category)}],\n"images": [\n')
        images = zip(names, sizes.tolist(), strict=True)
        for number, (name, (width, height)) in enumerate(images):
            image = {"id": number + 1, "file_name": name, "width": width, "height": height}
            file.write((",\n" if number else "") + _json(image))
        file.write('\n],\n"annotations": [\n')
        visibility = annotations.column("visibility")
        for start in range(0, len(instances), step):
            rows = slice(start, start + step)
            lines = _lines(points[rows], np.asarray(visibility[rows], np.int64), numbers[rows] + 1, start + 1)
            file.write((",\n" if start else "") + ",\n".join(lines))
        file.write("\n]}\n")
    return renumbered(annotations)


def _lines(points: Points, visibility: NDArray[np.int64], images: NDArray[Any], first: int) -> list[str]:
    """Some annotations, whose ids count from the first."""
    there = visibility > 0
    texts = texts_of(np.where(there[..., None], points, 0), _DECIMALS)
    boxes = _boxes(points, there)
    lines = []
    for row, (image, box) in enumerate(zip(images.tolist(), boxes.tolist(), strict=True)):
        said = {
            "id": first + row,
            "image_id": image,
            "category_id": 1,
            "iscrowd": 0,
            "num_keypoints": int(there[row].sum()),
            "bbox": box,
            "area": round(box[2] * box[3], 2),
        }
        flat = zip(*[iter(texts[row])] * 2, visibility[row].tolist(), strict=True)
        keypoints = ", ".join([f"{x}, {y}, {v}" if v else "0, 0, 0" for x, y, v in flat])
        lines.append(f'{_json(said)[:-1]}, "keypoints": [{keypoints}]}}')
    return lines


def _boxes(points: Points, there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, 4) left edge, top edge, width and height around the labelled points, from the image's corner."""
    low = np.where(there[..., None], points, np.inf).min(1)
    high = np.where(there[..., None], points, -np.inf).max(1)
    empty = ~there.any(1)
    low[empty], high[empty] = -0.5, -0.5
    return np.round(np.column_stack([low + 0.5, high - low]), 2)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
