"""What a dry run says of labels."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lmk.cli import main
from lmk.survey import in_words, remarks
from tests.history.sets import SCHEME, make, scattered

NAMES = ["a.jpg", "b.jpg", "c.jpg"]


def hardly(points):
    """All but one point of the second instance are missing."""
    gone = (np.arange(3)[:, None] == 1) & (np.arange(8) < 7)
    return np.where(gone[..., None], np.nan, points)


def said(points, origin="centre"):
    labels = make(NAMES, points).with_columns(width=300, height=250)
    labels.provenance.update(format="csv", origin=origin)
    return list(remarks(labels))


def test_plain_labels_give_rise_to_no_remark():
    assert said(scattered(3, 0) + 3.5) == []


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        (np.round, "all positions are whole numbers"),
        (lambda points: points - points.min() + 1, "the smallest position is 1 exactly: .* say --origin one"),
        (
            lambda points: np.where(points > 150, [300.0, 250.0], points),
            "points lie at the width or height .* --origin corner",
        ),
        (lambda points: points + 150, r"\d+ points lie outside of their image, first [abc]\.jpg instance 0 p\d"),
        (hardly, r"1 instances have hardly a point, first b\.jpg instance 0"),
    ],
)
def test_signs_of_another_convention_are_told(change, remark):
    found = said(change(scattered(3, 0) + 3.25))

    assert any(re.search(remark, one) for one in found), found


def test_the_same_signs_mean_nothing_where_the_origin_says_so():
    points = scattered(3, 0)
    assert not any("--origin one" in one for one in said(points - points.min(), origin="one"))


def test_counts_sizes_and_what_is_missing_are_there():
    points = scattered(3, 0) + 3.5
    points[1, 4] = points[2, 4] = points[2, 5] = np.nan
    labels = make(NAMES, points).with_columns(width=300, height=250)
    labels.provenance.update(format="csv")

    text = in_words(labels)

    assert "format: csv" in text
    assert "positions: pixels from 0, at their centres" in text
    assert f"landmarks: {SCHEME.size} of odd, 2 contours" in text
    assert "images: 300 x 250 (3)" in text
    assert "points: 21 labelled" in text
    assert "missing: 3, first b.jpg instance 0 p4; most of all p4 (2)" in text


def test_a_dry_run_writes_nothing_and_says_why_it_reads_a_format(rendered, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert main(["ingest", str(rendered / "faces"), "--dry-run"]) == 0

    out, err = capsys.readouterr()
    assert "instances: 20 instances with 68 points of scheme ibug68 (train 12, val 4, test 4), in 20 images" in out
    assert "read as pts, because there are .pts files in it" in err
    assert list(tmp_path.iterdir()) == []
