"""The harm bench: its data are what their names say, and its page counts what it should."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from bench.harm import CASES, CHIN, NOSE, make, page, params_of
from lmk.ingest import ingest
from lmk.scheme import load_scheme

FACES = 4


@pytest.fixture
def made(tmp_path):
    """Human labels of a case with few faces, and its folder."""

    def run(name):
        scheme = make(dataclasses.replace(CASES[name], faces=FACES), 3, tmp_path / name)
        labels = tmp_path / name / "drawn" / "faces" / "labels.csv"
        return ingest(labels, "csv", load_scheme(str(scheme)), 1.25, with_images=False), tmp_path / name

    return run


def test_noises_and_budgets_are_those_of_the_name(made):
    exact, careful, default = (made(f"{name}-12-1")[0].points for name in ("exact", "careful", "default"))

    off = [float(np.linalg.norm(points - exact, axis=-1).mean()) for points in (careful, default)]
    assert 0.02 < off[0] < 0.5 < off[1]
    assert params_of(CASES["exact-12-0.1"], "ibug68").training.images == 2400


def test_images_of_some_are_changed_and_labels_stay(made):
    grey, folder = made("grey-images")
    plain, _ = made("default-12-1")

    np.testing.assert_array_equal(grey.points, plain.points)
    assert {cv2.imread(str(path)).std() for path in (folder / "drawn" / "faces").glob("*.jpg")} == {0}


def test_landmarks_are_at_random_missing_or_alone(made):
    plain = made("default-12-1")[0]
    random, never, two = (made(name)[0] for name in ("random-landmark", "landmark-never-labelled", "two-landmarks"))

    assert np.abs(random.points - plain.points)[:, NOSE].max() > 10
    np.testing.assert_array_equal(np.delete(random.points, NOSE, 1), np.delete(plain.points, NOSE, 1))
    assert not never.labelled[:, NOSE].any()
    np.testing.assert_array_equal(two.points, plain.points[:, [CHIN, NOSE]])


def test_the_page_counts_harm_and_whether_a_gate_said_so():
    def cell(case, error, broken, moved=0.5):
        step = {"before": 1.0, "error": error, "moved": moved, "worse": 2.0}
        return {"case": case, "seed": 11, "steps": [{**step, "error": 1.0}, step], "broken": broken}

    cells = [
        cell("exact-12-1", 1.5, ["judge"], moved=0.25),
        cell("half-12-1", 1.2, []),
        cell("default-12-1", 0.4, []),
        {"case": "one-landmark", "seed": 11, "refused": "a.csv: has one point"},
    ]

    text = page(cells)

    assert "In 2 of 3 cases labels are further" in text
    assert "in 1 of them with all gates holding.  Exact labels moved by 0.25 % of the box at most.  1 datasets" in text
    assert "| exact-12-1 | 11 | 1.00 | 1.50 | 0.25 | 2.0 % | judge |" in text
    assert "| one-landmark | 11 | refused: has one point |" in text
