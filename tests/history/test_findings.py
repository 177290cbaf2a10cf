"""What moved as a whole: what is injected is named first, and where nothing is there is seldom anything."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lmk.audit.numbers import audit, sentence
from lmk.history.findings import ALARM, Drifts, holm
from lmk.history.sql import asking
from lmk.history.table import contour_names
from lmk.scheme import load_scheme
from tests.history.sets import faces_like, folder, make

FACE = load_scheme("ibug68")
JAW = list(range(17))


def drifts(shift, human, splits=None, swapped=None, images=None):
    count = len(human)
    sums = Drifts(FACE, contour_names(FACE))
    keys = pd.DataFrame({"image": images if images is not None else np.arange(count)})
    if splits is not None:
        keys["split"] = splits
    there = np.ones(shift.shape[:2], bool)
    swapped = np.zeros(count, bool) if swapped is None else swapped
    for start in range(0, count, 64):
        part = slice(start, start + 64)
        sums.add(
            shift[part], FACE.tangents(human[part]), np.full(count, 100.0)[part], there[part], swapped[part],
            keys.iloc[part],
        )  # fmt: skip
    return sums.findings()


def noise(count, seed):
    return np.random.default_rng(seed).standard_t(5, (count, FACE.size, 2))


@pytest.mark.parametrize("seed", range(5))
def test_a_landmark_that_is_shifted_in_one_split_is_named_first(seed):
    human, shift = faces_like(FACE, 300, seed), noise(300, seed)
    splits = np.where(np.arange(300) < 200, "train", "test")
    shift[200:, 30] += [2.0, 0]

    first = drifts(shift, human, splits).iloc[0]

    assert (first["what"], first["name"], first["part"]) == ("landmark", FACE.names[30], "split test")
    assert first["images"] == 100


@pytest.mark.parametrize("size", [0.3, 5.0])
def test_a_contour_that_slides_is_named_before_its_points(size):
    human, shift = faces_like(FACE, 300, 1), noise(300, 1)
    shift[:, JAW] += size * FACE.tangents(human)[:, JAW]

    found = drifts(shift, human)

    assert (found.iloc[0]["what"], found.iloc[0]["name"], found.iloc[0]["direction"]) == ("contour", "jaw", "along")
    assert found.iloc[0]["mean_percent"] == pytest.approx(size, rel=0.2, abs=0.15)


def test_nothing_is_found_twice_when_there_is_no_noise_at_all():
    human = faces_like(FACE, 50, 2)
    slide, shift = np.zeros((2, 50, FACE.size, 2))
    slide[:, JAW] += 3 * FACE.tangents(human)[:, JAW]
    shift[:, 30] += [3, 0]

    found, alone = drifts(slide, human), drifts(shift, human)

    assert set(zip(found["what"], found["name"], strict=True)) == {("contour", "jaw")}
    assert set(zip(alone["what"], alone["name"], strict=True)) == {("landmark", FACE.names[30])}


def test_all_points_shifted_together_are_one_finding():
    human = faces_like(FACE, 200, 3)

    found = drifts(noise(200, 3) + [2.0, 0], human)

    assert (found.iloc[0]["what"], found.iloc[0]["direction"]) == ("points", "right")
    assert len(found) == 1


def test_exchanged_sides_come_first_and_count_for_nothing_else(tmp_path):
    human = faces_like(FACE, 300, 4)
    moved = human + noise(300, 4) * 0.5
    moved[::50] = human[::50][:, FACE.flip]
    names = [f"{number:03d}.jpg" for number in range(300)]
    with asking(folder(tmp_path, make(names, human, FACE), make(names, moved, FACE))) as questions:
        found = questions.ask("SELECT * FROM findings")

    assert found.iloc[0][["what", "images"]].tolist() == ["swap", 6]
    assert found.iloc[0]["mean_percent"] == pytest.approx(2.0)
    assert len(found) == 1


@pytest.mark.parametrize("kind", ["landmark", "contour"])
def test_what_was_injected_is_the_first_thing_that_an_audit_of_files_says(tmp_path, kind):
    human, names = faces_like(FACE, 240, 8), [f"{number:03d}.jpg" for number in range(240)]
    splits = np.where(np.arange(240) < 160, "train", "val")
    moved = human + 0.7 * noise(240, 9)
    if kind == "landmark":
        moved[160:, 54] += [0, 1.5]
    else:
        moved[:, JAW] += 0.5 * FACE.tangents(human)[:, JAW]
    columns = {"split": np.repeat(splits, FACE.size)}

    with asking(
        folder(tmp_path, make(names, human, FACE, **columns), make(names, moved, FACE, **columns))
    ) as questions:
        found = audit(questions, ["i00", "i01"])

    said = sentence(found.findings[0])
    expected = {"landmark": f"landmark {FACE.names[54]} in split val: ", "contour": "contour jaw: 0."}
    assert said.startswith(expected[kind])


def test_false_alarms_are_as_rare_as_promised():
    human = faces_like(FACE, 60, 5)
    splits = np.where(np.arange(60) < 40, "train", "test")

    alarms = sum(len(drifts(noise(60, seed), human, splits)) > 0 for seed in range(200))

    # As many as chance allows in one of a thousand such tests.
    assert alarms <= stats.binom.ppf(0.999, 200, ALARM)


def test_faces_that_wobble_as_a_whole_raise_no_alarm():
    human, random = faces_like(FACE, 100, 6), np.random.default_rng(6)
    alarms = sum(len(drifts(random.normal(0, 3, (100, 1, 2)) + noise(100, seed), human)) > 0 for seed in range(60))

    assert alarms <= stats.binom.ppf(0.999, 60, ALARM)


def test_an_image_counts_once_however_many_instances_it_has():
    human = faces_like(FACE, 300, 7)
    shift = np.repeat(noise(30, 7), 10, axis=0)
    images = np.repeat(np.arange(30), 10)

    assert len(drifts(shift, human, images=images)) == 0
    many = drifts(shift + [0.8, 0], human, images=images)
    assert (many["images"] == 30).all()


def test_holms_correction_is_what_its_definition_says():
    p = np.array([0.01, 0.04, 0.03, 0.005])

    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).max() <= 1
