"""Pixels in: broken files are found, and a crop is where its box says."""

from __future__ import annotations

import struct
import unicodedata
import zlib

import cv2
import numpy as np
import pytest

from lmk.errors import ImageError
from lmk.image_header import turned
from lmk.images import crop, read_image, read_with_bytes
from lmk.names import Folder


def ramp(height=60, width=80):
    """An image whose red is its x and whose green is its y."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 3, y * 4, np.full_like(x, 7)], -1).astype(np.uint8)


def save(path, image, *options):
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return path


def test_colours_are_red_green_blue(tmp_path):
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", ramp())), ramp())


@pytest.mark.parametrize("name", ["a.jpg", "progressive.jpg", "a.png"])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_truncated_image_is_refused(tmp_path, name, part):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1] if name.startswith("progressive") else []
    path = save(tmp_path / name, noise, *options)
    read_image(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])

    with pytest.raises(ImageError, match="truncated") as error:
        read_image(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("content", "says"), [(b"", "not an image"), (b"hello", "not an image"), (None, "no such")])
def test_what_is_not_an_image_is_refused(tmp_path, content, says):
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)

    with pytest.raises(ImageError, match=says):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("box", [(9.5, 19.5, 20.0), (12.25, 7.75, 31.0), (-0.5, -0.5, 60.0)])
@pytest.mark.parametrize("size", [20, 41])
def test_a_crops_pixels_are_the_images_at_the_place_that_the_box_says(box, size):
    cut = crop(ramp(), np.array(box), size).astype(float)

    centre = (np.arange(size) + 0.5) / size * box[2]
    # Away from the image's border, where the edge is repeated.
    inside = slice(size // 5, -size // 5)
    np.testing.assert_allclose(cut[size // 2, inside, 0], (box[0] + centre)[inside] * 3, atol=1.1)
    np.testing.assert_allclose(cut[inside, size // 2, 1], (box[1] + centre)[inside] * 4, atol=1.1)


def test_a_crop_that_shrinks_much_is_averaged_and_stays_in_place():
    y, x = np.mgrid[0:400, 0:600]
    image = np.stack([x * 0.4, y * 0.6, (x + y) % 2 * 255], -1).astype(np.uint8)

    cut = crop(image, np.array([99.5, 49.5, 320.0]), 32).astype(float)

    centre = (np.arange(32) + 0.5) * 10
    np.testing.assert_allclose(cut[16, 2:-2, 0], (99.5 + centre)[2:-2] * 0.4, atol=1.5)
    np.testing.assert_allclose(cut[2:-2, 16, 1], (49.5 + centre)[2:-2] * 0.6, atol=1.5)
    assert cut[4:-4, 4:-4, 2].std() < 2  # the checkerboard is gone, not aliased


def test_a_header_that_asks_for_too_many_pixels_is_one_line_before_anything_is_decoded(tmp_path):
    whole = bytearray(save(tmp_path / "a.png", ramp()).read_bytes())
    # The first chunk of a PNG says width and height, and then a checksum of itself.
    whole[16:24] = struct.pack(">II", 60_000, 60_000)
    whole[29:33] = struct.pack(">I", zlib.crc32(whole[12:29]))
    (tmp_path / "huge.png").write_bytes(whole)

    with pytest.raises(ImageError, match=r"huge\.png: 60,000 x 60,000 pixels; more than") as error:
        read_image(tmp_path / "huge.png")

    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 3]])
@pytest.mark.parametrize("size", [(8, 8), (33, 65), (241, 319)])
def test_a_jpeg_that_ends_before_its_last_pixel_is_refused_and_a_whole_one_is_not(tmp_path, capfd, options, size):
    noisy = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    flat_below = noisy.copy()
    flat_below[size[0] // 2 :] = 77
    for name, image in (("noisy", noisy), ("flat", flat_below)):
        data = cv2.imencode(".jpg", image, options)[1].tobytes()
        (tmp_path / f"{name}.jpg").write_bytes(data)
        assert read_with_bytes(tmp_path / f"{name}.jpg")[1] == data
        assert capfd.readouterr().err == ""
        start = data.index(b"\xff\xda")
        for part in (0.3, 0.6, 0.9):
            (tmp_path / "cut.jpg").write_bytes(data[: start + int(part * (len(data) - start) * 0.9)] + b"\xff\xd9")
            if size != (8, 8):  # one block is there or not
                with pytest.raises(ImageError, match="truncated, the JPEG ends before its last pixel"):
                    read_with_bytes(tmp_path / "cut.jpg")
        capfd.readouterr()


EXIF = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 274, 3, 1, 6, 0)  # one entry: turned by a quarter


def with_note(name, image):
    """An image as a camera that was held upright writes it."""
    data = cv2.imencode(name, image)[1].tobytes()
    if name == ".jpg":
        note = b"Exif\0\0" + EXIF
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + data[2:]
    note = b"eXIf" + EXIF
    return data[:33] + struct.pack(">I", len(EXIF)) + note + struct.pack(">I", zlib.crc32(note)) + data[33:]


@pytest.mark.parametrize("name", [".jpg", ".png"])
def test_a_cameras_note_is_seen_and_the_pixels_are_those_that_are_stored(tmp_path, name):
    image = ramp()
    data = with_note(name, image)
    (tmp_path / f"a{name}").write_bytes(data)

    assert turned(data) == 6
    assert turned(cv2.imencode(name, image)[1].tobytes()) == 1
    assert read_image(tmp_path / f"a{name}").shape == image.shape


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\0\x10Exif\0\0II*\0", b"RIFF0000WEBPEXIF", b"II*\0" + b"\xff" * 9]
)
def test_a_damaged_note_says_nothing(data):
    assert turned(data) == 1


@pytest.mark.parametrize("kind", ["grey.png", "grey.jpg", "grey16.png", "grey16.tif", "colour16.png", "alpha.png"])
def test_pictures_of_every_depth_are_read_as_the_same_eight_bit_colours(tmp_path, kind):
    grey = np.add.outer(np.arange(40), 2 * np.arange(60)).astype(np.uint8)
    colour = np.dstack([grey, grey, grey])
    pixels = {
        "grey": grey, "grey16": grey.astype(np.uint16) * 257, "colour16": colour.astype(np.uint16) * 257,
        "alpha": np.dstack([colour, np.full_like(grey, 99)]),
    }[kind.partition(".")[0]]  # fmt: skip
    cv2.imwrite(str(tmp_path / kind), pixels)

    found = read_image(tmp_path / kind)

    assert found.dtype == np.uint8
    np.testing.assert_allclose(found.astype(int), colour, atol=3 if kind.endswith("jpg") else 0)


@pytest.mark.parametrize(("stored", "named"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_a_name_with_accents_is_found_in_either_form(tmp_path, stored, named):
    name = "Zoë à la plage 2 .png"
    cv2.imwrite(str(tmp_path / "x.png"), np.zeros((8, 8), np.uint8))
    (tmp_path / "x.png").rename(tmp_path / unicodedata.normalize(stored, name))

    assert read_image(Folder(tmp_path).file(unicodedata.normalize(named, name))).shape == (8, 8, 3)


def test_a_name_that_is_longer_than_any_file_system_has_is_one_line(tmp_path):
    with pytest.raises(ImageError, match=r"cannot be read|no such image"):
        read_image(Folder(tmp_path).file("x" * 5000 + ".png"))
