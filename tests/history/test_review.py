"""Corrections from another tool: exactly what was changed there is decided here."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmk.annotations import make_set
from lmk.cli import main
from lmk.errors import DataError
from lmk.formats.exchange import format_named, write
from lmk.history import ledger
from lmk.history.review import in_words, review
from lmk.store import read_annotations, write_annotations
from tests.history.sets import SCHEME, folder, make, scattered

NAMES = ["a.jpg", "b.jpg", "c.jpg"]
CSV = format_named("csv")


@pytest.fixture
def cleaned(tmp_path):
    human = scattered(3, 0)
    return folder(tmp_path, make(NAMES, human), make(NAMES, np.round((human + 2) * 64) / 64))


def handed_out(paths, target):
    """What a person gets."""
    held = ledger.accepted(read_annotations(paths.annotations("i01")), paths.decisions)
    write(CSV, held, target)
    return held


def corrected(file, changes):
    """The file, with other x, y and visibility of some points (image, landmark)."""
    head, *lines = file.read_text().splitlines()
    for number, line in enumerate(lines):
        image, instance, landmark, x, y, visibility, *rest = line.split(",")
        if (image, int(landmark)) in changes:
            x, y, visibility = changes[image, int(landmark)](float(x), float(y), visibility)
        lines[number] = ",".join([image, instance, landmark, str(x), str(y), str(visibility), *rest])
    file.write_text("\n".join([head, *lines]) + "\n")


def test_what_somebody_moved_hid_and_removed_is_decided_and_nothing_else(cleaned, tmp_path):
    held = handed_out(cleaned, tmp_path / "out.csv")
    corrected(
        tmp_path / "out.csv",
        {
            ("a.jpg", 2): lambda x, y, v: (x + 5, y, v),
            ("b.jpg", 0): lambda x, y, v: (x, y, 1),
            ("b.jpg", 7): lambda x, y, v: (x + 1, y - 1, 1),
            ("c.jpg", 4): lambda x, y, v: ("", "", 0),
            ("c.jpg", 5): lambda x, y, v: (x + 0.02, y, v),  # a tool's rounding
        },
    )

    found = review(cleaned, CSV, tmp_path / "out.csv", by="anna", reason="checked")

    decided = found.rows[["image", "landmark", "action"]].to_numpy().tolist()
    assert decided == [["a.jpg", 2, "move"], ["b.jpg", 0, "occlude"], ["b.jpg", 7, "occlude"], ["c.jpg", 4, "remove"]]
    assert found.unchanged == 3 * SCHEME.size - 4
    assert "1 points moved, 2 called occluded, 1 removed; 20 points came back" in in_words(found)
    labels = ledger.accepted(read_annotations(cleaned.annotations("i01")), cleaned.decisions)
    wanted = held.points.copy()
    wanted[0, 2, 0] += 5
    wanted[1, 7] += [1, -1]
    wanted[2, 4] = np.nan
    np.testing.assert_array_equal(labels.points, wanted)
    assert labels.column("visibility")[1, [0, 7]].tolist() == [1, 1]
    assert labels.column("visibility")[2, 4] == 0


def test_a_removed_point_can_be_taken_back(cleaned, tmp_path):
    from lmk.history.decisions import Wish, decide

    handed_out(cleaned, tmp_path / "out.csv")
    corrected(tmp_path / "out.csv", {("c.jpg", 4): lambda x, y, v: ("", "", 0)})
    review(cleaned, CSV, tmp_path / "out.csv", "anna", None)

    decide(cleaned, Wish("revert", "image = 'c.jpg' AND landmark = 4", by="ben"))

    labels = ledger.accepted(read_annotations(cleaned.annotations("i01")), cleaned.decisions)
    human = read_annotations(cleaned.annotations("i00"))
    np.testing.assert_array_equal(labels.points[2, 4], human.points[2, 4])


def test_a_part_that_comes_back_unchanged_decides_nothing(cleaned, tmp_path):
    handed_out(cleaned, tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    (tmp_path / "out.csv").write_text("\n".join(lines[: 1 + SCHEME.size]) + "\n")

    found = review(cleaned, CSV, tmp_path / "out.csv", "anna", None)

    assert found.file is None
    assert not cleaned.decisions.exists()
    assert "nothing was changed; 8 points came back as they were\n2 instances of the set did not" in in_words(found)


def test_an_image_that_nobody_handed_out_is_refused(cleaned, tmp_path):
    handed_out(cleaned, tmp_path / "out.csv")
    (tmp_path / "out.csv").write_text((tmp_path / "out.csv").read_text().replace("c.jpg", "d.jpg"))

    with pytest.raises(DataError, match=r"d\.jpg is not in the set that was handed out"):
        review(cleaned, CSV, tmp_path / "out.csv", "anna", None)


def test_a_dry_run_writes_nothing(cleaned, tmp_path):
    handed_out(cleaned, tmp_path / "out.csv")
    corrected(tmp_path / "out.csv", {("a.jpg", 2): lambda x, y, v: (x + 5, y, v)})

    found = review(cleaned, CSV, tmp_path / "out.csv", "anna", None, dry_run=True)

    assert len(found.rows) == 1
    assert in_words(found).endswith("nothing was written")
    assert not cleaned.decisions.exists()


def test_the_most_doubtful_instances_come_first(cleaned, tmp_path):
    suspicion = np.zeros((3, SCHEME.size))
    suspicion[2, 3], suspicion[0, 1] = 0.9, 0.4
    last = read_annotations(cleaned.annotations("i01")).with_columns(suspicion=suspicion)
    write_annotations(last, cleaned.annotations("i01"))

    assert main(["export", str(cleaned.root), "--to", "csv", "--top", "2", "-o", str(tmp_path / "out.csv")]) == 0

    lines = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["c.jpg"] * SCHEME.size + ["a.jpg"] * SCHEME.size


def test_labels_go_back_into_the_file_that_they_came_from_unless_it_was_edited(cleaned, tmp_path):
    source = tmp_path / "source.csv"
    write(CSV, read_annotations(cleaned.annotations("i00")), source)
    back = ["export", str(cleaned.root), "--to", "csv", "--back-into", str(source), "-o"]

    assert main([*back, str(tmp_path / "back.csv")]) == 0
    held = read_annotations(cleaned.annotations("i01"))
    again = make_set([pd.read_csv(tmp_path / "back.csv")], SCHEME, {}, "back")
    np.testing.assert_allclose(again.points, held.points, atol=1e-3)

    corrected(source, {("a.jpg", 0): lambda x, y, v: (x + 1, y, v)})
    assert main([*back, str(tmp_path / "refused.csv")]) == 1
    assert not (tmp_path / "refused.csv").exists()


@pytest.mark.parametrize("name", ["coco", "cvat"])
def test_doubts_are_handed_out_in_words_and_corrections_come_back_exactly(tmp_path, name):
    human = make(NAMES, scattered(3, 0)).with_columns(width=400, height=300)
    reason = np.full((3, SCHEME.size), None, object)
    reason[1, 3] = "far off"
    last = human.moved(np.round((human.points + 2) * 64) / 64, 1, {}, {})
    last = last.with_columns(suspicion=np.where(reason == "far off", 0.91, 0.1), reason=reason)
    paths = folder(tmp_path, human, last)
    target = tmp_path / ("out.json" if name == "coco" else "out.xml")

    assert main(["export", str(paths.root), "--to", name, "-o", str(target)]) == 0

    text = target.read_text(encoding="utf-8")
    assert text.count("far off, 91 %") == 1
    assert len(review(paths, format_named(name), target, "anna", None, dry_run=True).rows) == 0
    held = ledger.accepted(read_annotations(paths.annotations("i01")), paths.decisions)
    offset = 0.5 if name == "cvat" else 0.0
    x = f"{held.points[1, 3, 0] + offset:.6f}".rstrip("0")
    assert text.count(x) == 1
    target.write_text(text.replace(x, f"{float(x) + 4:.6f}"), encoding="utf-8")

    found = review(paths, format_named(name), target, "anna", None)

    assert found.rows[["image", "landmark", "action"]].to_numpy().tolist() == [["b.jpg", 3, "move"]]
    assert found.unchanged == 3 * SCHEME.size - 1


def test_of_several_objects_in_an_image_each_is_compared_with_itself(tmp_path):
    """Also where the tool put them in another order, or somebody deleted one."""
    images = ["a.jpg", "a.jpg", "b.jpg"]
    human = scattered(3, 0)
    human[1] += 300
    paths = folder(tmp_path, make(images, human, instances=[0, 1, 0]), make(images, human + 2, instances=[0, 1, 0]))
    held = handed_out(paths, tmp_path / "out.csv")
    moved = held.select(np.array([1])).with_columns(instance=0)
    x = moved.column("x").copy()
    x[0, 3] += 7
    write(CSV, moved.with_columns(x=x), tmp_path / "one.csv")

    found = review(paths, CSV, tmp_path / "one.csv", "anna", None)

    assert found.rows[["image", "instance", "landmark", "action"]].to_numpy().tolist() == [["a.jpg", 1, 3, "move"]]
    assert found.absent == 2


def test_an_object_that_somebody_added_is_refused(cleaned, tmp_path):
    held = handed_out(cleaned, tmp_path / "out.csv")
    twice = held.select(np.array([0, 0])).with_columns(instance=np.array([0, 1]))
    write(CSV, twice, tmp_path / "out2.csv")

    with pytest.raises(DataError, match=r"a\.jpg has 2 objects where 1 were handed out"):
        review(cleaned, CSV, tmp_path / "out2.csv", "anna", None)
