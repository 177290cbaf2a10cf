"""Images in, crops out.  The only place of the library's core that knows OpenCV."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lmk.errors import ImageError
from lmk.image_header import end_of_jpeg, size_of
from lmk.limits import IMAGE_BYTES
from lmk.reading import read_bytes as read_regular

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_AS_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_FILLING = bytes(73 * k % 251 for k in range(512))  # anything that stands for pixels, and for no mark


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return an image as (height, width, 3) RGB.

    Rotation notes of cameras (EXIF) are ignored: landmarks count the pixels that are stored.
    """
    return decode(read_bytes(path), path)


def read_with_bytes(path: Path) -> tuple[NDArray[np.uint8], bytes]:
    """Return an image and the bytes of its file, and make sure that a JPEG has all its pixels."""
    data = read_bytes(path)
    image = decode(data, path)
    if data.startswith(b"\xff\xd8") and _ends_early(data, image):
        raise ImageError(f"{path}: truncated, the JPEG ends before its last pixel; copy it again")
    return image, data


def _ends_early(data: bytes, image: NDArray[np.uint8]) -> bool:
    """Whether a JPEG has an end mark in the middle of its pixels, which decoders pass over in silence.

    What is missing is filled with one colour, or, in a picture of several passes, with less detail.  If so, whatever
    stands before the end mark changes the picture; of a whole one, the decoder has all that it needs by then.
    """
    end, progressive, complete = end_of_jpeg(data)
    if not complete:
        return True
    rows, columns = ((length - 1) % 8 + 1 for length in image.shape[:2])  # of the last block
    if end < 0 or (not progressive and np.ptp(image[-min(rows, 2) :, -min(columns, 2) :], axis=(0, 1)).max() > 2):
        return False
    with _silent():
        other = cv2.imdecode(np.frombuffer(data[:end] + _FILLING + data[end:], np.uint8), _AS_STORED)
    return other is None or not np.array_equal(other, image)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep back what libraries in C say, of bytes that only we have put there."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def read_bytes(path: Path) -> bytes:
    """The bytes of an image file."""
    return read_regular(path, IMAGE_BYTES, ImageError, "no such image; the annotations name it")


def decode(data: bytes, path: Path) -> NDArray[np.uint8]:
    """Decode the bytes of an image file."""
    # OpenCV fills the missing part of a cut JPEG or PNG with grey and says nothing, so look for the end ourselves.
    cut_jpeg = data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    cut_png = data[:4] == b"\x89PNG" and b"IEND" not in data[-64:]
    if cut_jpeg or cut_png:
        raise ImageError(f"{path}: truncated, the end of the image is missing; copy it again")
    image = None
    if data:
        size_of(data, path)
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), _AS_STORED)
        except cv2.error as cause:
            what = " ".join(str(cause.err).split())[:100]
            raise ImageError(
                f"{path}: OpenCV refuses to decode it ({what}); it may be damaged, or larger than 2^30 pixels"
            ) from cause
    if image is None:
        raise ImageError(f"{path}: not an image that OpenCV can decode; known endings: {' '.join(SUFFIXES)}")
    return np.asarray(image, np.uint8)


def png_of(pixels: NDArray[np.integer[Any]], path: Path) -> bytes:
    """The PNG file of grey (height, width[, 1]) or RGB (height, width, 3) pixels of one byte each, to be put there."""
    image = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or not image.size or image.dtype.itemsize > 1:
        raise ImageError(
            f"{path}: pixels of shape {pixels.shape} and type {pixels.dtype}; a picture is grey or RGB, of bytes"
        )
    blue_first = image if image.ndim == 2 else image[..., ::-1]
    done, data = cv2.imencode(".png", np.ascontiguousarray(blue_first, np.uint8))
    assert done
    return bytes(data.tobytes())


def crop(image: NDArray[np.uint8], box: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Cut a square out of an image and scale it.

    Args:
        image: (height, width, 3).
        box: (3,) left edge, top edge and side in pixels, edges counted so that the image starts at -0.5.
        size: pixels of the result.

    Returns:
        (size, size, 3); what lies outside the image repeats its edge.
    """
    left, top, side = box
    shrink = side / size
    if shrink > 2:
        # Bilinear sampling skips pixels when it shrinks by more than two; average them beforehand.
        factor = 1 / np.floor(shrink)
        height, width = image.shape[:2]
        small = cv2.resize(
            image, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=cv2.INTER_AREA
        )
        ratio = np.array([small.shape[1] / width, small.shape[0] / height])
        left, top = (np.array([left, top]) + 0.5) * ratio - 0.5
        scale = ratio * side / size
        image = np.asarray(small, np.uint8)
    else:
        scale = np.array([shrink, shrink])
    # Centre of crop pixel u lies at left + (u + 0.5) * scale.
    matrix = np.array([[scale[0], 0, left + scale[0] / 2], [0, scale[1], top + scale[1] / 2]])
    return np.asarray(
        cv2.warpAffine(
            image, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        ),
        np.uint8,
    )
