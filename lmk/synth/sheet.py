"""A contact sheet: faces of a written dataset, with the human labels (red) beside the truth (green)."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lmk.errors import DataError, LmkError
from lmk.formats.pts import read_pts
from lmk.formats.source import Source
from lmk.images import read_image
from lmk.names import check_names
from lmk.reading import whole
from lmk.scheme import load_scheme
from lmk.store import replacing
from lmk.synth.write import HEADER

_SHIFT = 4
_GREEN, _RED, _GREY = (90, 235, 90), (60, 60, 255), (225, 225, 225)
Pixels = NDArray[np.uint8]


def contact_sheet(out: Path, folder: Path, rows: int, columns: int, tile: int) -> None:
    """Draw the first faces of a dataset that `render_dataset` wrote.

    Args:
        out: the picture to write; its ending says which kind.
        folder: the dataset's folder, with faces/ and truth/ in it.
        rows: of faces.
        columns: of faces.
        tile: side of one face on the sheet, in pixels.
    """
    truth = _read_truth(folder / "truth" / "truth.csv")
    names = list(truth)[: rows * columns]
    sheet = np.full((rows * tile, columns * tile, 3), 255, np.uint8)
    for place, name in enumerate(names):
        top, left = (place // columns) * tile, (place % columns) * tile
        sheet[top : top + tile, left : left + tile] = _tile(folder / "faces" / name, truth[name], tile)
    check_picture(out)
    _, packed = cv2.imencode(out.suffix or ".png", sheet)
    with replacing(out) as temporary:
        temporary.write_bytes(packed.tobytes())


def check_picture(out: Path) -> None:
    """Refuse a picture of a kind that cannot be written."""
    if not cv2.haveImageWriter(out.name if out.suffix else f"{out.name}.png"):
        raise LmkError(f"{out}: cannot write this kind of picture; use .png or .jpg")


def _tile(image: Path, truth: NDArray[np.float64], tile: int) -> Pixels:
    pixels = np.ascontiguousarray(read_image(image)[..., ::-1])  # blue first, as OpenCV draws and writes
    scale = tile / pixels.shape[1]
    picture = np.asarray(cv2.resize(pixels, (tile, tile), interpolation=cv2.INTER_CUBIC), np.uint8)
    human = read_pts(image.with_suffix(".pts"))
    scheme = load_scheme("ibug68")
    for points, colour in ((truth, _GREEN), (human, _RED)):
        fixed = _fixed(points, scale)
        lines = [fixed[list(contour)].reshape(-1, 1, 2) for contour in scheme.contours]
        layer = cv2.polylines(picture.copy(), lines, False, colour, 1, cv2.LINE_AA, _SHIFT)
        picture = np.asarray(cv2.addWeighted(picture, 0.45, layer, 0.55, 0), np.uint8)
    for a, b in zip(_fixed(truth, scale).tolist(), _fixed(human, scale).tolist(), strict=True):
        cv2.line(picture, tuple(a), tuple(b), _GREY, 1, cv2.LINE_AA, _SHIFT)
    for points, colour in ((truth, _GREEN), (human, _RED)):
        for x, y in _fixed(points, scale).tolist():
            radius = max(tile * 2**_SHIFT // 150, 2**_SHIFT)
            cv2.circle(picture, (x, y), radius, colour, -1, cv2.LINE_AA, _SHIFT)
    return picture


def _fixed(points: NDArray[np.float64], scale: float) -> NDArray[np.int32]:
    """Points in the enlarged tile, in OpenCV's fixed-point numbers."""
    return np.asarray(np.round(((points + 0.5) * scale - 0.5) * 2**_SHIFT), np.int32)


def _read_truth(path: Path) -> dict[str, NDArray[np.float64]]:
    if not path.exists():
        raise LmkError(f"{path}: no truth here; only a rendered dataset has one")
    found: dict[str, list[tuple[float, float]]] = {}
    with whole(path, "not a table of true points", DataError), Source(path.parent).open_text(path) as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != HEADER:
            raise LmkError(f"{path}: header is {reader.fieldnames}, expected {', '.join(HEADER)}")
        for row in reader:
            found.setdefault(row["image"], []).append((float(row["x"]), float(row["y"])))
    check_names(found, str(path))
    size = load_scheme("ibug68").size
    if short := [name for name, points in found.items() if len(points) != size]:
        raise DataError(f"{path}: {short[0]} has {len(found[short[0]])} points, expected {size}")
    return {name: np.array(points) for name, points in found.items()}
