"""Parquet of Hugging Face's datasets of objects: a row an image, `objects` with `keypoints` as COCO writes them.

`image` is a picture, {bytes, path}; of these the path alone is read.  `objects` is a struct of lists, or a list of
structs; the keypoints of an object are x, y, v in one list, or lists of x, y or x, y, v.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.errors import DataError, FormatError, LmkError
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.folders import check_new
from lmk.formats.landmarks import chosen
from lmk.formats.pixels import Points
from lmk.formats.rows import Counted, Rows, says_nothing
from lmk.formats.source import Source
from lmk.limits import CELL_BYTES, POINTS, SET_BYTES
from lmk.reading import check_file, whole
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "centre"
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_NESTING = {"list", "element", "item", "array", "bag", "array_element"}  # what Parquet calls the insides of lists
_WANTED = "expected columns image (with path) or file_name, and objects with keypoints"
_AT_ONCE = 256  # images
_OBJECTS = "objects.keypoints"
_SCHEMA = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("objects", pa.struct([("bbox", pa.list_(pa.list_(pa.float64()))), ("category", pa.list_(pa.int64())),
                               ("keypoints", pa.list_(pa.list_(pa.float64())))])),
    ]
)  # fmt: skip


def _features() -> dict[str, Any]:
    """What Hugging Face's library has to know of the columns."""
    number, whole_number = ({"dtype": dtype, "_type": "Value"} for dtype in ("float64", "int64"))
    numbers = {"feature": number, "_type": "Sequence"}
    objects = {"bbox": numbers, "category": whole_number, "keypoints": numbers}
    return {"image": {"_type": "Image"}, "objects": {"feature": objects, "_type": "Sequence"}}


def _files(path: Path) -> list[Path]:
    """The Parquet files of a folder as Hugging Face lays them out, or the one that is named."""
    if not path.is_dir():
        return [path]
    return sorted(file for pattern in ("*.parquet", "data/*.parquet", "*/*/*.parquet") for file in path.glob(pattern))


def _split(file: Path) -> str:
    """The split of a file: train-00000-of-00004.parquet, or in a folder that is called so."""
    names = [re.split(r"[-_.]", file.name)[0].lower(), file.parent.name.lower()]
    return next((_SPLITS[name] for name in names if name in _SPLITS), "train")


@contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    check_file(file, SET_BYTES)
    with whole(file, "not a whole Parquet file"), pq.ParquetFile(file) as opened:
        yield opened


def _leaves(file: pq.ParquetFile) -> dict[str, str]:
    """The place of each column in the file, by its name without the insides of lists."""
    places = [file.schema.column(k).path for k in range(len(file.schema))]
    return {".".join(part for part in place.split(".") if part not in _NESTING): place for place in places}


def _sniff(path: Path, head: bytes) -> Guess | None:
    try:
        files = _files(path) if path.is_dir() or head.startswith(b"PAR1") else []
        for file in files[:1]:
            with _opened(file) as opened:
                if _OBJECTS in _leaves(opened):
                    return Guess(1.0, f"{file.name} has objects with keypoints, as Hugging Face's Parquet files do")
    except (LmkError, OSError, ValueError):
        return None
    return None


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    files = _files(source.path)
    if not source.path.exists() or not files:
        raise DataError(f"{source.path}: no Parquet file there; format hf-parquet reads one, or a folder of them")
    losses, notes = Losses(), list[str]()
    count = None
    for file in files:
        source.check(file)
        for _, _, objects in _rows(file, losses, notes if file == files[0] else []):
            sizes = (len(_points(each, asked, str(file))[0]) for each in objects)
            count = next((size for size in sizes if size), None)
            if count is not None:
                break
        if count is not None:
            break
    if count is None:
        raise FormatError(f"{source.path}: no object with keypoints in it; {_WANTED}")
    scheme, losses = chosen(asked, count, str(source.path)), Losses()
    return Reading(_parts(files, scheme, losses), scheme, losses, notes)


def _rows(file: Path, losses: Losses, notes: list[str]) -> Iterator[tuple[str, str, list[Any]]]:
    """Each row: its place, the image, and the keypoints of each object."""
    with _opened(file) as opened:
        leaves = _leaves(opened)
        name = next((name for name in ("image.path", "file_name") if name in leaves), None)
        if name is None or _OBJECTS not in leaves:
            raise FormatError(f"{file}: no column {_OBJECTS if name else 'image.path'}; {_WANTED}")
        told = opened.metadata
        read = {leaves[name], leaves[_OBJECTS]}
        for group in range(told.num_row_groups):
            row_group = told.row_group(group)
            columns = [row_group.column(k) for k in range(row_group.num_columns)]
            size = sum(column.total_uncompressed_size for column in columns if column.path_in_schema in read)
            if size > 64 * CELL_BYTES * (row_group.num_rows + 100):
                raise FormatError(f"{file}: says that it has {row_group.num_rows:,} images in {size:,} bytes of points")
        if "image.bytes" in leaves:
            notes.append("pictures inside the file are not opened; --images names the folder that has them")
        for other in leaves.keys() - {name, _OBJECTS, "image.bytes", "image.path", "image_id", "width", "height"}:
            losses.add("columns", 1, other)
        number = 0
        for batch in opened.iter_batches(batch_size=_AT_ONCE, columns=sorted(read)):
            images = batch.column("image" if name == "image.path" else name).to_pylist()
            for image, objects in zip(images, batch.column("objects").to_pylist(), strict=True):
                place = f"{file}: row {number}"
                number += 1
                path = image.get("path") if isinstance(image, dict) else image
                if not isinstance(path, str) or not path:
                    raise FormatError(f"{place}: the image has no path, so nothing says which picture it is")
                if isinstance(objects, dict):
                    objects = objects.get("keypoints")
                elif objects is not None:
                    objects = [each and each.get("keypoints") for each in objects]
                yield place, path.replace("\\", "/"), objects or []


def _points(found: Any, asked: LandmarkScheme | None, place: str) -> tuple[Points, NDArray[np.int64]]:
    """Points (K, 2), NaN where missing, and visibility (K,) of one object; none of one that has no keypoints."""
    try:
        nested = isinstance(found, list) and bool(found) and isinstance(found[0], list)
        rows = found if nested else [found or []]
        numbers = np.array([[np.nan if value is None else value for value in row] for row in rows], np.float64)
    except (TypeError, ValueError) as cause:
        raise FormatError(f"{place}: keypoints are not numbers, x, y and perhaps visibility of each point") from cause
    if not nested:
        flat = numbers.reshape(-1)
        wide = 3 if not flat.size % 3 and np.isin(flat[2::3], (0, 1, 2)).all() else 2
        if asked is not None and flat.size in (2 * asked.size, 3 * asked.size):
            wide = flat.size // asked.size
        if flat.size % wide:
            raise FormatError(f"{place}: {flat.size} numbers of keypoints; expected two or three of each point")
        numbers = flat.reshape(-1, wide)
    if numbers.ndim != 2 or numbers.shape[1] not in (2, 3) or len(numbers) > POINTS or np.isinf(numbers).any():
        raise FormatError(f"{place}: keypoints are {numbers.shape} numbers; expected two or three finite ones a point")
    gone = np.isnan(numbers[:, :2]).any(axis=1)
    visibility = np.where(gone, 0, 2)
    if numbers.shape[1] == 3:
        if not np.isin(numbers[:, 2], (0, 1, 2)).all():
            raise FormatError(f"{place}: visibility is 0 (missing), 1 (occluded) or 2 (visible)")
        visibility = np.where(gone, 0, numbers[:, 2].astype(np.int64))
    return np.where((visibility == 0)[:, None], np.nan, numbers[:, :2]), visibility


def _parts(files: list[Path], scheme: LandmarkScheme, losses: Losses) -> Iterator[Part]:
    rows, counted = Rows(scheme.size, PART_ROWS), Counted()
    for file in files:
        split = _split(file)
        for place, image, objects in _rows(file, losses, []):
            for found in objects:
                instance = counted.next(image)
                points, visibility = _points(found, scheme, place)
                if says_nothing(points, losses, place):
                    continue
                chosen(scheme, len(points), place)
                rows.add(points, place, image=image, instance=instance, visibility=visibility, split=split)
                if rows.full:
                    yield rows.part()
    if rows:
        yield rows.part()


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write a new folder, a Parquet file a split; it names images, and does not hold them."""
    check_new(target)
    instances, visibility = annotations.instances, annotations.column("visibility")
    by_split: dict[str, dict[str, list[int]]] = {}
    for row, (image, split) in enumerate(zip(instances["image"], instances["split"], strict=True)):
        by_split.setdefault(split, {}).setdefault(image, []).append(row)
    schema = _SCHEMA.with_metadata({"huggingface": json.dumps({"info": {"features": _features()}})})
    with replacing(target) as temporary:
        (temporary / "data").mkdir(parents=True)
        for split, images in by_split.items():
            called = "validation" if split == "val" else split
            with pq.ParquetWriter(temporary / "data" / f"{called}-00000-of-00001.parquet", schema) as writer:
                names = list(images)
                for start in range(0, len(names), _AT_ONCE):
                    some = names[start : start + _AT_ONCE]
                    table = [
                        {"image": {"bytes": None, "path": image},
                         "objects": _objects(points[images[image]], visibility[images[image]])}
                        for image in some
                    ]  # fmt: skip
                    writer.write_table(pa.Table.from_pylist(table, schema))
    return ()


def _objects(points: Points, visibility: NDArray[Any]) -> dict[str, list[Any]]:
    """Boxes (left, top, width, height), categories and keypoints of the instances of an image."""
    boxes, keypoints = [], []
    for one, seen in zip(points, visibility, strict=True):
        there = one[seen > 0]
        low, high = (there.min(0), there.max(0)) if len(there) else (np.zeros(2), np.zeros(2))
        boxes.append([*low.tolist(), *(high - low).tolist()])
        keypoints.append(np.column_stack([np.nan_to_num(one), seen]).reshape(-1).tolist())
    return {"bbox": boxes, "category": [0] * len(boxes), "keypoints": keypoints}


HF_PARQUET = Format(
    name="hf-parquet",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.OCCLUSION, Trait.SEVERAL, Trait.SPLIT, Trait.SUBPIXEL}),
    sniff=_sniff,
    read=_read,
    write=_write,
)
