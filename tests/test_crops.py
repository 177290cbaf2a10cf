"""CropSource: the square around each instance, and the cache that stages and processes share."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.crops import KEPT, MARGIN, Cache, crops_of
from lmk.errors import DataError, ImageError
from lmk.names import Folder
from lmk.scheme import parse_scheme
from tests.test_images import ramp, save

SCHEME = parse_scheme('{"name": "dot", "points": 1}', "test")


def two(boxes=((29.5, 19.5, 20.0), (9.5, 9.5, 20.0)), image="a.png"):
    """Two instances in one image."""
    import pandas as pd

    corners = np.array(boxes)
    table = pd.DataFrame({"image": image, "instance": [0, 1], "landmark": 0, "x": 5.0, "y": 5.0, "width": 80})
    table = table.assign(height=60, box_x=corners[:, 0], box_y=corners[:, 1], box_size=corners[:, 2])
    return make_set(table, SCHEME, {}, "test")


def test_crops_cover_the_box_times_the_margin(tmp_path):
    save(tmp_path / "a.png", ramp())
    crops = crops_of(two(), tmp_path, 20)

    assert (len(crops), crops.size, crops.margin) == (2, 24, 1.2)
    assert abs(crops.margin - MARGIN) < 0.1
    np.testing.assert_allclose(crops.read(np.array([0]))[0, 12, :, 0], (30 - 2 + np.arange(24)) * 3, atol=1)
    other = crops.select(np.array([False, True]))
    np.testing.assert_array_equal(other.read(np.array([0])), crops.read(np.array([1])))


def test_a_cache_gives_the_same_pixels_without_the_image(tmp_path):
    path = save(tmp_path / "a.png", ramp())
    rows = np.array([1, 0, 1])
    plain = crops_of(two(), tmp_path, 20).read(rows)
    first = crops_of(two(), tmp_path, 20, tmp_path / "cache")
    np.testing.assert_array_equal(first.read(rows), plain)
    again = crops_of(two(), tmp_path, 20, tmp_path / "cache")
    path.unlink()

    np.testing.assert_array_equal(again.read(rows), plain)
    np.testing.assert_array_equal(again.select(np.array([False, True])).read(np.array([0])), plain[:1])


def test_other_pixels_boxes_or_sizes_find_another_file(tmp_path):
    save(tmp_path / "a.png", ramp())
    cache = tmp_path / "cache"
    for size, boxes in ((20, ((29.5, 19.5, 20.0), (9.5, 9.5, 20.0))), (24, ((29.5, 19.5, 20.0), (9.5, 9.5, 20.0))),
                        (20, ((29.5, 19.5, 21.0), (9.5, 9.5, 20.0)))):  # fmt: skip
        crops_of(two(boxes), tmp_path, size, cache).read(np.arange(2))
    save(tmp_path / "a.png", 255 - ramp())

    changed = crops_of(two(), tmp_path, 20, cache).read(np.arange(2))

    assert len(list(cache.glob("*.crops"))) == 4
    np.testing.assert_array_equal(changed, crops_of(two(), tmp_path, 20).read(np.arange(2)))


def test_a_square_that_a_disk_has_spoilt_is_cut_again(tmp_path):
    save(tmp_path / "a.png", ramp())
    plain = crops_of(two(), tmp_path, 20, tmp_path / "cache").read(np.arange(2))
    [file] = (tmp_path / "cache").glob("*.crops")
    content = bytearray(file.read_bytes())
    content[100] ^= 255
    file.write_bytes(content)

    np.testing.assert_array_equal(crops_of(two(), tmp_path, 20, tmp_path / "cache").read(np.arange(2)), plain)


def test_several_readers_fill_one_cache_and_a_full_disk_only_makes_it_slower(tmp_path, monkeypatch):
    save(tmp_path / "a.png", ramp())
    plain = crops_of(two(), tmp_path, 20).read(np.arange(2))
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _: crops_of(two(), tmp_path, 20, tmp_path / "cache").read(np.arange(2)), range(16))
        assert all((one == plain).all() for one in found)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lmk.crops.os.pwrite", full)
    np.testing.assert_array_equal(crops_of(two(), tmp_path, 20, tmp_path / "other").read(np.arange(2)), plain)


def test_what_nobody_opens_for_a_week_is_removed(tmp_path):
    save(tmp_path / "a.png", ramp())
    crops_of(two(), tmp_path, 20, tmp_path / "cache").read(np.arange(2))
    [old] = (tmp_path / "cache").glob("*.crops")
    os.utime(old, (old.stat().st_atime, old.stat().st_mtime - KEPT - 60))

    crops_of(two(), tmp_path, 24, tmp_path / "cache")

    assert not old.exists()


def test_an_image_that_is_gone_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"a\.png: no such image"):
        crops_of(two(), tmp_path, 20).read(np.arange(2))
    with pytest.raises(ImageError, match=r"a\.png: no such image"):
        crops_of(two(), tmp_path, 20, tmp_path / "cache")


@pytest.mark.parametrize("cached", [False, True])
def test_an_image_that_became_a_link_out_of_the_folder_is_refused_unless_links_are_allowed(tmp_path, cached):
    (tmp_path / "inside").mkdir()
    save(tmp_path / "inside" / "a.png", ramp())
    kept = tmp_path / "cache" if cached else None
    before = crops_of(two(), tmp_path / "inside", 20, kept).read(np.arange(2))
    (tmp_path / "inside" / "a.png").rename(tmp_path / "secret.png")
    (tmp_path / "inside" / "a.png").symlink_to(tmp_path / "secret.png")

    with pytest.raises(DataError, match=r"a\.png: a link that leads out of"):
        crops_of(two(), tmp_path / "inside", 20, kept).read(np.arange(2))

    allowed = crops_of(two(), Folder(tmp_path / "inside", "follow"), 20, kept)
    np.testing.assert_array_equal(allowed.read(np.arange(2)), before)


@pytest.mark.parametrize("links", ["refuse", "follow"])
@pytest.mark.parametrize("name", ["../secret.png", "{outside}/secret.png", "b/../../secret.png"])
def test_a_name_that_was_changed_by_hand_leads_nowhere(tmp_path, name, links):
    save(tmp_path / "secret.png", ramp())
    (tmp_path / "inside" / "b").mkdir(parents=True)
    changed = two()
    changed.instances["image"] = name.format(outside=tmp_path)

    with pytest.raises(DataError, match=r"leads out of the folder|is an absolute name"):
        crops_of(changed, Folder(tmp_path / "inside", links), 20).read(np.arange(2))


def test_a_disk_that_writes_ones_into_a_hole_makes_no_square(tmp_path):
    cache, found = Cache(tmp_path / "it.crops", 3, 8), np.zeros((8, 8, 3), np.uint8)
    data = bytearray((tmp_path / "it.crops").read_bytes())
    data[:16] = b"\xff" * 16  # the three checksums, and the start of the first square
    (tmp_path / "it.crops").write_bytes(data)

    assert not any(cache.get(row, found) for row in range(3))
