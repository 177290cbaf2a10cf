"""What a rendered dataset looks like on disk, and what is refused."""

import csv
import os

import cv2
import numpy as np
import pytest

from lmk.cli import main
from lmk.errors import LmkError
from lmk.formats.pts import write_pts
from lmk.scheme import load_scheme
from lmk.synth.noise import annotate
from lmk.synth.render import render_face
from lmk.synth.sheet import contact_sheet
from lmk.synth.write import HEADER, render_dataset

SIZE = 48


def render(out, splits, noise="default", seed=2):
    render_dataset(out, splits, seed, SIZE, noise, lambda done, total: None)


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_splits_become_folders_with_labels_beside_the_images(tmp_path):
    out = tmp_path / "set"

    render(out, {"train": 2, "test": 1})

    assert [str(p.relative_to(out)) for p in sorted(out.rglob("*.*"))] == [
        "faces/test/000000.jpg", "faces/test/000000.pts", "faces/train/000000.jpg", "faces/train/000000.pts",
        "faces/train/000001.jpg", "faces/train/000001.pts", "truth/truth.csv",
    ]  # fmt: skip
    assert cv2.imread(str(out / "faces/train/000001.jpg")).shape == (SIZE, SIZE, 3)


def test_a_rendering_that_is_interrupted_leaves_nothing_and_the_next_removes_what_a_killed_one_left(tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    for more in ({"progress": interrupt}, {"progress": lambda done, total: None, "finish": interrupt}):
        with pytest.raises(KeyboardInterrupt):
            render_dataset(tmp_path / "set", {"train": 2}, 2, SIZE, "default", **more)
        assert list(tmp_path.iterdir()) == []

    for left in (".set.0123abcd.tmp", ".set.partial"):
        (tmp_path / left / "faces").mkdir(parents=True)
        os.utime(tmp_path / left / "faces", (0, 0))
        os.utime(tmp_path / left, (0, 0))
    render(tmp_path / "set", {"train": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_what_somebody_puts_there_meanwhile_is_not_lost(tmp_path):
    def somebody(folder):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "notes.txt").write_text("mine")

    with pytest.raises(LmkError, match="already there and not empty"):
        render_dataset(tmp_path / "set", {"train": 1}, 2, SIZE, "default", lambda done, total: None, somebody)

    assert tree(tmp_path) == {"set/notes.txt": b"mine"}


@pytest.mark.parametrize("sheet", ["sheet.png", "set/sheet.png"])
def test_a_sheet_is_drawn_before_the_dataset_is_in_its_place(tmp_path, sheet, monkeypatch, capsys):
    """A rendering that is killed in between can be run again; a dataset that is there would be refused."""
    command = ["render", str(tmp_path / "set"), "--count", "1", "--size", "48", "--sheet", str(tmp_path / sheet)]

    assert main([*command[:-1], str(tmp_path / "sheet.doc")]) == 1
    assert list(tmp_path.iterdir()) == []
    assert main(command) == 0

    assert cv2.imread(str(tmp_path / sheet)) is not None
    assert (tmp_path / "set" / "faces" / "000000.pts").is_file()
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr("lmk.synth.sheet.cv2.imencode", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        command[1] = str(tmp_path / "other")
        assert main(command) == 1
    assert "No space left" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_split_without_a_name_is_written_flat(tmp_path):
    render(tmp_path / "set", {"": 1})

    assert (tmp_path / "set/faces/000000.jpg").is_file()
    assert read_rows(tmp_path / "set/truth/truth.csv")[0]["image"] == "000000.jpg"


def test_labels_are_the_annotation_counted_from_one_and_truth_is_the_renderers(tmp_path):
    render(tmp_path / "set", {"train": 2}, seed=2)

    face = render_face(2, 1, SIZE)
    label = annotate(face.points, SIZE, load_scheme("ibug68"), "default", 2, 1)
    lines = (tmp_path / "set/faces/train/000001.pts").read_text().splitlines()
    assert lines[:3] == ["version: 1", "n_points: 68", "{"]
    assert lines[-1] == "}"
    points = np.array([line.split() for line in lines[3:-1]], float)
    np.testing.assert_allclose(points, label.points + 1, atol=5.1e-4)
    rows = read_rows(tmp_path / "set/truth/truth.csv")
    assert tuple(rows[0]) == HEADER
    assert len(rows) == 2 * 68
    mine = rows[68:]
    assert {row["image"] for row in mine} == {"train/000001.jpg"}
    np.testing.assert_allclose([[float(r["x"]), float(r["y"])] for r in mine], face.points, atol=5.1e-5)
    assert [int(r["visibility"]) for r in mine] == face.visibility.tolist()
    assert [r["gross"] for r in mine] == label.gross


def test_annotators_are_written_down(tmp_path):
    render(tmp_path / "set", {"train": 3}, noise="annotators")

    rows = read_rows(tmp_path / "set/faces/annotators.csv")
    assert [row["image"] for row in rows] == [f"train/{k:06d}.jpg" for k in range(3)]
    truth = {row["image"]: row["annotator"] for row in read_rows(tmp_path / "set/truth/truth.csv")}
    assert {row["image"]: row["annotator"] for row in rows} == truth


def test_the_same_call_writes_the_same_bytes_and_reports_progress(tmp_path):
    seen = []

    for name in ("a", "b"):
        render_dataset(tmp_path / name, {"x": 2}, 1, SIZE, "annotators", lambda done, total: seen.append((done, total)))

    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert seen == [(1, 2), (2, 2)] * 2


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("keep")

    with pytest.raises(LmkError, match="not empty; name a new folder"):
        render(tmp_path / "set", {"train": 1})

    assert (tmp_path / "set" / "mine.txt").read_text() == "keep"


def test_an_empty_folder_and_one_that_is_not_there_yet_are_taken(tmp_path):
    (tmp_path / "set").mkdir()

    render(tmp_path / "set", {"train": 1})
    render(tmp_path / "deep" / "er" / "set", {"train": 1})

    assert tree(tmp_path / "set") == tree(tmp_path / "deep" / "er" / "set")


def test_an_interrupted_rendering_leaves_nothing_and_the_next_one_starts_afresh(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_dataset(tmp_path / "set", {"train": 3}, 1, SIZE, "none", interrupt)
    assert not (tmp_path / "set").exists()

    render(tmp_path / "set", {"train": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("splits", "words"),
    [({}, "at least one face"), ({"": 1, "a": 1}, "name them all"), ({"a/b": 1}, "becomes a folder")],
)
def test_splits_that_cannot_be_folders_are_refused(tmp_path, splits, words):
    with pytest.raises(LmkError, match=words):
        render(tmp_path / "set", splits)


def test_a_pts_file_has_three_decimals(tmp_path):
    write_pts(tmp_path / "a.pts", np.array([[0.0, 1.25], [3.00049, 4]]), decimals=3)

    assert (tmp_path / "a.pts").read_text() == "version: 1\nn_points: 2\n{\n1.000 2.250\n4.000 5.000\n}\n"


def test_a_contact_sheet_shows_labels_and_truth(tmp_path):
    render(tmp_path / "set", {"train": 3})

    contact_sheet(tmp_path / "sheet.png", tmp_path / "set", rows=2, columns=2, tile=100)

    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (200, 200, 3)
    assert (sheet[100:, 100:] == 255).all()


def test_a_contact_sheet_of_a_folder_without_truth_is_refused(tmp_path):
    with pytest.raises(LmkError, match=r"truth\.csv: no truth here"):
        contact_sheet(tmp_path / "sheet.png", tmp_path, rows=1, columns=1, tile=64)


@pytest.mark.parametrize("change", [lambda text: text[: text.rindex("\n000000")] + "\n", lambda text: text + "x,1\n",
                                    lambda text: text.replace("000000.jpg", "../a.jpg")])  # fmt: skip
def test_a_contact_sheet_of_a_truth_that_somebody_changed_is_one_line(change, tmp_path):
    render(tmp_path / "set", {"": 1})
    truth = tmp_path / "set" / "truth" / "truth.csv"
    truth.write_text(change(truth.read_text()))

    with pytest.raises(LmkError, match=f"{truth}: "):
        contact_sheet(tmp_path / "sheet.png", tmp_path / "set", rows=1, columns=1, tile=64)
