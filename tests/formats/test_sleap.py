"""SLEAP's files: as SLEAP 1.4 writes them (format_id 1.3), as 1.0 did, and packages."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, LmkError, SchemeError
from lmk.formats.exchange import looks_like, read, write, write_back
from lmk.formats.sleap import SLEAP
from lmk.formats.sleap_pictures import pictures
from lmk.formats.source import Source
from lmk.images import png_of, read_image
from lmk.ingest import ingest
from lmk.scheme import parse_scheme

FRAMES = np.dtype([("frame_id", "u8"), ("video", "u4"), ("frame_idx", "u8"), ("instance_id_start", "u8"),
                   ("instance_id_end", "u8")])  # fmt: skip
INSTANCES = np.dtype([("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"),
                      ("track", "i4"), ("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"),
                      ("point_id_end", "u8"), ("tracking_score", "f4")])  # fmt: skip
POINTS = np.dtype([("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")])
EDGE = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [1]}]}
SYMMETRY = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [2]}]}
METADATA = {
    "version": "2.0.0",
    "nodes": [{"name": name, "weight": 1.0} for name in ("tail", "left", "head", "right", "wheel")],
    "skeletons": [
        {"directed": True, "graph": {"name": "fly", "num_edges_inserted": 2}, "multigraph": True,
         "links": [{"edge_insert_idx": 0, "key": 0, "source": 2, "target": 1, "type": EDGE},
                   {"key": 0, "source": 1, "target": 3, "type": SYMMETRY},
                   {"edge_insert_idx": 1, "key": 0, "source": 1, "target": 0, "type": {"py/id": 1}},
                   {"key": 0, "source": 3, "target": 1, "type": {"py/id": 2}}],
         "nodes": [{"id": 2}, {"id": 1}, {"id": 3}, {"id": 0}]},
        {"directed": True, "graph": {"name": "wheel"}, "links": [], "multigraph": True, "nodes": [{"id": 4}]},
    ],
}  # fmt: skip
FILM = {"filename": "/data/mice/day1.mp4", "backend": {"filename": "/data/mice/day1.mp4", "shape": [9, 48, 64, 1]}}


def put(file, videos=(FILM,), metadata=METADATA, format_id=1.3, compression=None):
    """Two frames: two flies and a wheel, and one fly that a network found, too."""
    dots = np.zeros(13, POINTS)
    dots["x"], dots["y"], dots["visible"] = np.arange(13) + 0.25, 2 * np.arange(13), True
    dots["visible"][[2, 6]] = False  # positions stay
    dots["x"][7] = np.nan
    made = np.zeros(5, INSTANCES)
    made["frame_id"], made["skeleton"] = [0, 0, 0, 1, 1], [0, 1, 0, 0, 0]
    made["instance_type"], made["from_predicted"], made["track"] = [0, 0, 0, 1, 0], -1, -1
    made["point_id_start"], made["point_id_end"] = [0, 4, 5, 0, 9], [4, 5, 9, 4, 13]
    frames = np.array([(0, 0, 7, 0, 3), (1, 0, 123456, 3, 5)], FRAMES)
    with h5py.File(file, "w") as root:
        root.create_group("metadata").attrs["format_id"] = format_id
        root["metadata"].attrs["json"] = np.bytes_(json.dumps(metadata))
        fields = [name for name in INSTANCES.names if format_id >= 1.2 or name != "tracking_score"]
        root.create_dataset("frames", data=frames, compression=compression)
        root.create_dataset("instances", data=made[fields], compression=compression)
        root.create_dataset("points", data=dots, compression=compression)
        root.create_dataset("pred_points", data=np.zeros(4, [*POINTS.descr, ("score", "f8")]))
        root.create_dataset("videos_json", data=[np.bytes_(json.dumps(video)) for video in videos], maxshape=(None,))
        root.create_dataset("tracks_json", data=np.zeros(0, "S1"), maxshape=(None,))
    return file


def taken(file, scheme=None):
    reading = read(SLEAP, file, scheme, False)
    made = make_set((part.table for part in reading.parts), reading.scheme, {}, "here")
    return made, reading, {loss.kind: (loss.count, loss.example) for loss in reading.losses}


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_what_people_labelled_is_read_and_the_rest_is_counted(compression, tmp_path):
    made, reading, lost = taken(put(tmp_path / "a.slp", compression=compression))

    nothing = [np.nan] * 2
    assert reading.scheme.names == ("head", "left", "right", "tail")
    assert reading.scheme.contours == ((0, 1, 3),)
    assert reading.scheme.mirror == ((1, 2),)
    assert made.instances[["image", "instance", "width", "height"]].to_numpy().tolist() == [
        ["day1.mp4/000007", 0, 64, 48], ["day1.mp4/000007", 1, 64, 48], ["day1.mp4/123456", 0, 64, 48]]  # fmt: skip
    np.testing.assert_array_equal(
        made.points,
        [
            [[0.25, 0], [1.25, 2], nothing, [3.25, 6]],
            [[5.25, 10], nothing, nothing, [8.25, 16]],
            [[9.25, 18], [10.25, 20], [11.25, 22], [12.25, 24]],
        ],
    )
    assert lost == {
        "predicted instances": (1, "instance 3"),
        "instances of other skeletons": (1, "instance 1"),
    }
    assert reading.notes == [
        "frames of videos have names like day1.mp4/000000; extract their pictures under these names, for --images",
        "names of pictures are taken from /data/mice/ on",
    ]


def test_old_files_count_from_the_corner_unless_the_user_knows_better(tmp_path):
    new, _, _ = taken(put(tmp_path / "new.slp"))
    old, reading, _ = taken(put(tmp_path / "old.slp", format_id=1.0))

    np.testing.assert_array_equal(old.points, new.points - 0.5)
    assert reading.notes[0] == "a file of SLEAP before 1.1, which counted from the corner"
    made = ingest(tmp_path / "old.slp", "sleap", None, 1.25, with_images=False)
    assert made.provenance["origin"] == "corner"
    write_back(SLEAP, tmp_path / "old.slp", old, old.moved(old.points + 1, 1, {}, {}), tmp_path / "back.slp")
    np.testing.assert_array_equal(taken(tmp_path / "back.slp")[0].points, old.points + 1)


def test_a_users_scheme_chooses_the_skeleton_and_the_order(tmp_path):
    file = put(tmp_path / "a.slp")
    wheel = parse_scheme('{"name": "w", "points": ["wheel"]}', "w")
    mine = parse_scheme('{"name": "m", "points": ["tail", "right", "left", "head"]}', "m")

    np.testing.assert_array_equal(taken(file, wheel)[0].points, [[[4.25, 8]]])
    np.testing.assert_array_equal(taken(file, mine)[0].points[0, [0, 3]], [[3.25, 6], [0.25, 0]])
    with pytest.raises(SchemeError, match="4 landmarks, but scheme two has 2"):
        taken(file, parse_scheme('{"name": "two", "points": 2}', "two"))


def test_predictions_are_read_where_there_is_nothing_else(tmp_path):
    file = put(tmp_path / "a.slp")
    with h5py.File(file, "r+") as root:
        made = root["instances"][3:4]
        del root["instances"]
        root["instances"] = made
        dots = root["pred_points"][:]
        dots["x"], dots["visible"] = [1, 2, 3, 4], True
        root["pred_points"][:] = dots

    made, reading, _ = taken(file)

    assert made.points[0, :, 0].tolist() == [1, 2, 3, 4]
    assert reading.notes[-1] == "all instances are predictions of a network"


@pytest.mark.parametrize(
    ("names", "images"),
    [
        (["a/x.png", "b/y.png"], ["a/x.png", "b/y.png"]),
        (["C:\\lab\\a\\x.png", "C:\\lab\\b\\y.png"], ["a/x.png", "b/y.png"]),
        (["/x.png", "/y.png"], ["x.png", "y.png"]),
    ],
)
def test_lists_of_images_have_their_names(names, images, tmp_path):
    listed = {"filename": names[0], "backend": {"type": "ImageVideo", "filename": names[0], "filenames": names}}
    file = put(tmp_path / "a.slp", [listed])
    with h5py.File(file, "r+") as root:
        frames = root["frames"][:]
        frames["frame_idx"] = [0, 1]
        root["frames"][:] = frames

    assert list(dict.fromkeys(taken(file)[0].instances["image"])) == images


PICTURE = np.random.default_rng(3).integers(0, 255, (48, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["padded", "of any length", "hdf5"])
def test_pictures_of_a_package_are_written_under_the_names_of_its_labels(kind, tmp_path):
    inside = {"filename": ".", "backend": {"filename": ".", "dataset": "video0/video", "shape": [2, 48, 64, 3]}}
    file = put(tmp_path / "a.pkg.slp", [inside])
    files = [np.frombuffer(png_of(each, tmp_path), np.int8) for each in (PICTURE, np.zeros((48, 64), np.uint8))]
    with h5py.File(file, "r+") as root:
        if kind == "hdf5":
            data = root.create_dataset("video0/video", data=[PICTURE, PICTURE // 2], compression="gzip")
        elif kind == "padded":
            longest = max(map(len, files))
            padded = [np.pad(each, (0, longest - len(each))) for each in files]
            data = root.create_dataset("video0/video", data=padded, compression="gzip")
        else:
            data = root.create_dataset("video0/video", shape=(2,), dtype=h5py.vlen_dtype(np.int8))
            for row, each in enumerate(files):
                data[row] = each
        data.attrs["format"] = "hdf5" if kind == "hdf5" else "png"
        root["video0/frame_numbers"] = [7, 123456]
        root.create_group("video0/source_video").attrs["json"] = json.dumps(FILM)

    count = pictures(Source(file), tmp_path / "pictures")

    made, reading, _ = taken(file)
    assert count == 2
    assert "a package with pictures in it" in reading.notes[0]
    np.testing.assert_array_equal(read_image(tmp_path / "pictures" / made.instances["image"][0]), PICTURE)
    assert {image for image in made.instances["image"] if not (tmp_path / "pictures" / image).is_file()} == set()
    with pytest.raises(DataError, match="is there already"):
        pictures(Source(file), tmp_path / "pictures")


def test_a_file_without_pictures_and_pictures_that_are_none_are_named(tmp_path):
    with pytest.raises(FormatError, match="no pictures in it"):
        pictures(Source(put(tmp_path / "a.slp")), tmp_path / "pictures")
    file = put(tmp_path / "b.slp", [{"filename": ".", "backend": {"filename": ".", "dataset": "video0/video"}}])
    with h5py.File(file, "r+") as root:
        root.create_dataset("video0/video", data=np.ones((2, 9), np.int8)).attrs["format"] = "png"
        root["video0/frame_numbers"] = [7, 8]
    with pytest.raises(LmkError, match=r"b\.slp: video0/000007: not an image"):
        pictures(Source(file), tmp_path / "pictures")
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_writing_back_changes_the_points_that_moved_and_keeps_the_rest(compression, tmp_path):
    file = put(tmp_path / "a.slp", compression=compression)
    made, _, _ = taken(file)
    moved = made.points.copy()
    moved[1, 3] += (0.5, -1)

    write_back(SLEAP, file, made, made.moved(moved, 1, {}, {}), tmp_path / "new.slp")
    write_back(SLEAP, file, made, made, tmp_path / "same.slp")

    with h5py.File(file) as old, h5py.File(tmp_path / "new.slp") as new:
        before, after = old["points"][:], new["points"][:]
        expected = before.copy()
        expected["x"][8], expected["y"][8] = 8.75, 15
        assert after.tobytes() == expected.tobytes()
        assert new["metadata"].attrs["json"] == old["metadata"].attrs["json"]
        np.testing.assert_array_equal(new["instances"][:], old["instances"][:])
    assert (tmp_path / "same.slp").read_bytes() == file.read_bytes()


def replaced(name, make):
    def change(root):
        data = root[name][:] if name in root else None
        if name in root:
            del root[name]
        make(root, data)

    return change


def column(table, name, values):
    def change(root):
        data = root[table][:]
        data[name] = values
        root[table][:] = data

    return change


def declared(root, data):
    root.create_dataset("points", shape=(1 << 40,), dtype=POINTS, chunks=(1 << 16,), compression="gzip")


def too_many(root, data):
    root.create_dataset("frames", shape=(1 << 40,), dtype=FRAMES, chunks=(1 << 10,), compression="gzip")


def in_one_piece(root, data):
    root.create_dataset("points", shape=(1 << 24,), dtype=POINTS, chunks=(1 << 24,), compression="gzip")


def outside(root, data):
    root.create_dataset("points", shape=(13,), dtype=POINTS, external=[("/etc/hostname", 0, 1 << 20)])


def soft(root, data):
    root["elsewhere"] = data
    root["points"] = h5py.SoftLink("/elsewhere")


def external(root, data):
    root["points"] = h5py.ExternalLink("other.h5", "/points")


def virtual(root, data):
    layout = h5py.VirtualLayout(shape=(13,), dtype=POINTS)
    layout[:] = h5py.VirtualSource("other.h5", "points", shape=(13,), dtype=POINTS)
    root.create_virtual_dataset("points", layout)


def words(root, data):
    root["points"] = ["a", "b"]


def unknown_filter(root, data):
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((13,))
    settings.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    space = h5py.h5s.create_simple((13,))
    h5py.h5d.create(root.id, b"points", h5py.h5t.py_create(POINTS), space, settings)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (replaced("points", soft), "points is a link to somewhere else"),
        (replaced("points", external), "points is a link to somewhere else"),
        (replaced("points", outside), "points lies in another file"),
        (replaced("points", virtual), "points lies in another file"),
        (replaced("points", unknown_filter), "a filter that lmk does not know"),
        (replaced("points", words), "values of a kind that does not belong there"),
        (replaced("points", in_one_piece), "stored in pieces of more than 128 MiB"),
        (replaced("points", lambda root, data: None), "no table 'points' in it"),
        (lambda root: root["metadata"].attrs.pop("format_id"), "says nothing of its format_id"),
        (lambda root: root["metadata"].attrs.__setitem__("format_id", 0.5), "format_id 0.5 is none"),
        (replaced("instances", lambda root, data: root.__setitem__("instances", np.zeros(3))), "without a column"),
        (replaced("frames", lambda root, data: root.__setitem__("frames", np.zeros(3))), "is no table with a column"),
        (replaced("frames", lambda root, data: root.create_dataset("frames", data=data[["video"]])), "'frame_id'"),
        (replaced("frames", lambda root, data: root.__setitem__("frames", data[None])), "is no table with a column"),
        (replaced("frames", too_many), "more than 4,194,304 are not read"),
        (lambda root: root["metadata"].attrs.pop("json"), "says nothing of 'json'"),
        (lambda root: root["metadata"].attrs.__setitem__("json", "{}"), "its skeletons are not as SLEAP writes them"),
        (lambda root: root["metadata"].attrs.__setitem__("json", "[" * 9999), "nested deeper"),
        (column("instances", "point_id_end", 1), "has 1 points, but its skeleton 4"),
        (column("instances", "point_id_start", 1 << 60), "points, but its skeleton 4"),
        (column("instances", "frame_id", 9), "on a frame that is not there"),
        (column("instances", "skeleton", 9), "an instance is of skeleton 9, but there are 2"),
        (column("frames", "video", 5), "a video that is not there"),
        (column("points", "x", np.inf), "a point is infinitely far away"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_one_line(change, says, tmp_path):
    file = put(tmp_path / "a.slp")
    with h5py.File(file, "r+") as root:
        change(root)

    with pytest.raises(FormatError, match=says) as error:
        taken(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_that_says_to_be_huge_is_read_where_its_points_are(tmp_path):
    file = put(tmp_path / "a.slp")
    with h5py.File(file, "r+") as root:
        replaced("points", declared)(root)

    with pytest.raises(DataError, match="no annotations found"):  # all of them are zeros that are not visible
        taken(file)


def test_instances_of_which_nothing_is_visible_are_counted_and_the_others_keep_their_numbers(tmp_path):
    file = put(tmp_path / "a.slp")
    with h5py.File(file, "r+") as root:
        dots = root["points"][:]
        dots["visible"][:4] = False
        root["points"][:] = dots

    made, _, lost = taken(file)
    write_back(SLEAP, file, made, made.moved(made.points + 1, 1, {}, {}), tmp_path / "new.slp")

    assert made.instances["instance"].tolist() == [1, 0]
    assert lost["instances without a labelled point"] == (1, "day1.mp4/000007")
    np.testing.assert_array_equal(taken(tmp_path / "new.slp")[0].points, made.points + 1)


def test_other_hdf5_and_other_files_are_not_of_sleap(tmp_path):
    (tmp_path / "a.slp").write_bytes(b"\x89HDF\r\n\x1a\n" + b"damaged" * 99)
    with pytest.raises(FormatError, match="not a whole HDF5 file"):
        taken(tmp_path / "a.slp")
    with pytest.raises(DataError, match=r"reads one \.slp file"):
        taken(tmp_path)
    assert looks_like(put(tmp_path / "b.slp"))[0] is SLEAP


def test_names_of_frames_are_written_as_frames_of_videos(tmp_path):
    made, _, _ = taken(put(tmp_path / "a.slp"))

    lost = write(SLEAP, made, tmp_path / "out.slp")

    again, reading, _ = taken(tmp_path / "out.slp")
    assert lost == []
    assert again.instances["image"].tolist() == made.instances["image"].tolist()
    assert reading.scheme.contours == ((0, 1, 3),)
    assert reading.scheme.mirror == ((1, 2),)
    np.testing.assert_array_equal(again.points, made.points)
