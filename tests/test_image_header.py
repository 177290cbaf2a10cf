"""Sizes of images by their headers: as OpenCV says, and refused before OpenCV is asked."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from lmk.errors import ImageError
from lmk.image_header import _sizes, size_of
from lmk.images import SUFFIXES, decode
from lmk.limits import PIXELS

WHERE = "a.img"


def encoded(ending, shape=(30, 47, 3), flags=()):
    pixels = np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)
    done, data = cv2.imencode(ending, pixels, list(flags))
    assert done
    return data.tobytes()


COLOUR, GREY = (30, 47, 3), (30, 47)
KINDS = [(ending, shape) for ending in SUFFIXES for shape in (COLOUR, GREY)]


# PGM is always grey, PPM never.
@pytest.mark.parametrize(
    ("ending", "shape"), [kind for kind in KINDS if kind not in ((".pgm", COLOUR), (".ppm", GREY))]
)
def test_the_size_is_what_the_decoder_finds(ending, shape):
    data = encoded(ending, shape)

    assert list(_sizes(data)) == [(47, 30)]
    assert decode(data, WHERE).shape == (30, 47, 3)


@pytest.mark.parametrize(
    ("ending", "flags"),
    [
        (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        (".jpg", (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 50)),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101)),  # lossless
        (".tif", (cv2.IMWRITE_TIFF_COMPRESSION, 1)),
        (".ppm", (cv2.IMWRITE_PXM_BINARY, 0)),
    ],
)
def test_the_size_of_other_kinds_of_a_format_is_found_too(ending, flags):
    assert list(_sizes(encoded(ending, flags=flags))) == [(47, 30)]


def test_comments_and_the_other_byte_order_are_read():
    assert list(_sizes(b"P6 # a comment\n# 7 7\n 47\n30 255\n")) == [(47, 30)]
    entries = struct.pack(">HHIHHHHIHH", 256, 3, 1, 47, 0, 257, 3, 1, 30, 0)
    assert list(_sizes(b"MM\0*" + struct.pack(">IH", 8, 2) + entries)) == [(47, 30)]
    entries = struct.pack("<HHQQHHQQ", 256, 16, 1, 47, 257, 16, 1, 30)
    assert list(_sizes(b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2) + entries)) == [(47, 30)]


HUGE = {
    "png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 50_000, 50_000) + b"\x08\2\0\0\0",
    "jpeg": b"\xff\xd8" + b"\xff\xe0\0\4ab" + b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 50_000, 50_000, 1),
    "bmp": b"BM" + bytes(12) + struct.pack("<Iii", 40, 50_000, -50_000),
    "tiff": b"II*\0" + struct.pack("<IHHHIIHHII", 8, 2, 256, 4, 1, 50_000, 257, 4, 1, 50_000),
    "webp": b"RIFF\0\0\0\0WEBPVP8X" + struct.pack("<II", 10, 0) + b"\xff\xff\0\xff\xff\0",
    "ppm": b"P6\n50000 50000\n255\n",
}


@pytest.mark.parametrize("kind", HUGE)
def test_too_many_pixels_are_refused_before_any_is_decoded(kind, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: pytest.fail("decoded"))

    with pytest.raises(
        ImageError, match=rf"a\.img: \d\d,\d\d\d x \d\d,\d\d\d pixels; more than {PIXELS:,} are not read"
    ):
        size_of(HUGE[kind], WHERE)


def test_a_second_frame_of_a_jpeg_counts_too():
    small = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, 30, 47, 1) + bytes(3)

    with pytest.raises(ImageError, match="50,000 x 50,000"):
        size_of(small + HUGE["jpeg"][2:], WHERE)


@pytest.mark.parametrize(
    "data", [b"GIF89a" + bytes(20), b"\x89PNG\r\n\x1a\n", b"II*\0", b"\xff\xd8\xff", b"BM", b"P6\n"]
)
def test_what_has_no_size_that_we_know_is_not_decoded(data):
    with pytest.raises(ImageError, match="not an image of a kind that is read, or its header is damaged"):
        size_of(data, WHERE)
