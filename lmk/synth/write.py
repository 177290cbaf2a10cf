"""Write rendered faces as a dataset: what an annotator would hand over, and apart from it the truth.

OUT/faces holds images with `.pts` files beside them (and annotators.csv where the noise has annotators); it can be
ingested as it is.  OUT/truth/truth.csv holds the exact positions and is for evaluation only.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2

from lmk.errors import LmkError, UnknownName
from lmk.formats.annotators import ANNOTATORS
from lmk.formats.pts import write_pts
from lmk.scheme import LandmarkScheme, load_scheme
from lmk.store import replacing
from lmk.synth.noise import NOISES, Annotation, annotate
from lmk.synth.render import Face, render_face

HEADER = ("image", "instance", "landmark", "x", "y", "visibility", "gross", "annotator")
JPEG_QUALITY = 74  # 128-pixel faces come to about 2.9 kB each, 4 kB with their labels


def render_dataset(
    out: Path,
    splits: Mapping[str, int],
    seed: int,
    size: int,
    noise: str,
    progress: Callable[[int, int], None],
    finish: Callable[[Path], None] | None = None,
) -> None:
    """Render faces with human labels and truth; all of it is there, or nothing, however this ends.

    Args:
        out: a new folder, or an empty one.
        splits: name to number of faces; a split that is alone may be named "", and is then written flat.
        seed: of faces and noise; face k of the dataset is the same whatever the splits are called.
        size: side of the images in pixels.
        noise: a name in NOISES.
        progress: called with (faces done, faces in all) after each face.
        finish: called with the folder of the whole dataset before that is put in its place.
    """
    _check(out, splits, size, noise)
    with replacing(out) as folder:
        _render(folder, splits, seed, size, noise, progress)
        if finish is not None:
            finish(folder)
        _check(out, splits, size, noise)  # rendering takes long: somebody may have put something there


def _render(
    work: Path, splits: Mapping[str, int], seed: int, size: int, noise: str, progress: Callable[[int, int], None]
) -> None:
    scheme = load_scheme("ibug68")
    (work / "truth").mkdir(parents=True)
    rows: list[tuple[Any, ...]] = []
    annotators: list[tuple[str, str]] = []
    total, index = sum(splits.values()), 0
    for split, count in splits.items():
        folder = work / "faces" / split
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            face = render_face(seed, index, size)
            label = annotate(face.points, size, scheme, noise, seed, index)
            name = f"{split}/{number:06d}.jpg".lstrip("/")
            _write_face(work / "faces" / name, face, label)
            rows += _truth_rows(name, face, label, scheme)
            if label.annotator:
                annotators.append((name, label.annotator))
            index += 1
            progress(index, total)
    _write_csv(work / "truth" / "truth.csv", HEADER, rows)
    if annotators:
        _write_csv(work / "faces" / ANNOTATORS, ("image", "annotator"), annotators)


def _check(out: Path, splits: Mapping[str, int], size: int, noise: str) -> None:
    if noise not in NOISES:
        raise UnknownName("noise", noise, NOISES)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise LmkError(f"{out}: already there and not empty; name a new folder, or remove it first")
    if not splits or min(splits.values()) < 0 or sum(splits.values()) == 0:
        raise LmkError(f"splits {dict(splits)}: want at least one face, for example train=900")
    if "" in splits and len(splits) > 1:
        raise LmkError("splits: a split without a name cannot stand beside others; name them all")
    if bad := [name for name in splits if "/" in name or "\\" in name or name.startswith(".")]:
        raise LmkError(f"split {bad[0]!r}: its name becomes a folder; use letters and digits")
    if size < 32:
        raise LmkError(f"size {size}: a face needs at least 32 pixels")


def _write_face(path: Path, face: Face, label: Annotation) -> None:
    packed = cv2.imencode(".jpg", face.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1]
    path.write_bytes(packed.tobytes())
    write_pts(path.with_suffix(".pts"), label.points, decimals=3)


def _truth_rows(name: str, face: Face, label: Annotation, scheme: LandmarkScheme) -> list[tuple[Any, ...]]:
    return [
        (name, 0, k, f"{x:.4f}", f"{y:.4f}", int(face.visibility[k]), label.gross[k], label.annotator or "")
        for k, (x, y) in zip(range(scheme.size), face.points, strict=True)
    ]


def _write_csv(path: Path, header: tuple[str, ...], rows: list[Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
