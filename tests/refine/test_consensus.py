"""What a whole set agrees on: faces with a known truth, readings that are drawn, humans with noise and habits."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.refine.consensus import NO_PEAK, TOO_WEAK, agree
from lmk.scheme import load_scheme
from lmk.synth.noise import annotate
from lmk.synth.render import render_face

SIZE, COUNT = 128, 120


@pytest.fixture(scope="module")
def truth():
    return np.stack([render_face(31, index, SIZE).points for index in range(COUNT)])


def labels(truth, noise):
    """The set that humans make of the truth, and which of their points are gross errors."""
    import pandas as pd

    scheme = load_scheme("ibug68")
    made = [annotate(points, SIZE, scheme, noise, 31, index) for index, points in enumerate(truth)]
    points = np.stack([one.points for one in made])
    table = pd.DataFrame(
        {
            "image": np.repeat([f"{index:03d}.jpg" for index in range(COUNT)], 68),
            "instance": 0,
            "landmark": np.tile(np.arange(68), COUNT),
            "x": points[..., 0].ravel(),
            "y": points[..., 1].ravel(),
            "width": SIZE,
            "height": SIZE,
            "box_x": -0.5,
            "box_y": -0.5,
            "box_size": float(SIZE),
        }
    )
    if made[0].annotator:
        table["annotator"] = np.repeat([one.annotator for one in made], 68)
    gross = np.array([one.gross for one in made]) != ""
    return make_set(table, scheme, {}, "test"), gross


def readings(truth, seed=0, views=16):
    """A detector's: its error is smooth over the face, and so is the scatter of its views."""
    random = np.random.default_rng(seed)
    near = np.exp(-np.square(truth.mean(0)[:, None] - truth.mean(0)).sum(-1) / (2 * 15**2))
    root = np.linalg.cholesky(0.8 * near + 0.2 * np.eye(68))
    smooth = np.einsum("kj,vnjd->vnkd", root, 0.8 * random.standard_normal((views + 1, *truth.shape)))
    return (truth + smooth[0] + smooth[1:] - smooth[1:].mean(0)).astype(np.float32)


def missed(points, truth, counts=None):
    return float(np.linalg.norm(points - truth, axis=-1)[slice(None) if counts is None else counts].mean())


def test_the_agreement_is_nearer_to_the_truth_than_humans_and_readings(truth):
    human, gross = labels(truth, "default")
    views = readings(truth)

    found = agree(human, views, np.ones(COUNT, bool))

    assert missed(found.points, truth, ~gross) < 0.9 * missed(views.mean(0), truth, ~gross)
    assert missed(found.points, truth, ~gross) < 0.5 * missed(human.points, truth, ~gross)
    assert missed(found.points, truth, gross) < 0.4 * missed(human.points, truth, gross)
    assert found.evidence["suspicion"][gross].mean() > 0.7
    assert (found.evidence["suspicion"][~gross] > 0.5).mean() < 0.01
    square = np.square(np.linalg.norm(found.points - truth, axis=-1)[~gross]).mean()
    assert 0.6 < np.square(found.evidence["error_after"][~gross]).mean() / square < 1.4


def test_every_point_that_moves_far_is_called_a_gross_error(truth):
    """Further than six times what is usual at its landmark, in any direction, for no reason that has a name."""
    human, _ = labels(truth, "default-clean")
    x, y = human.column("x").copy(), human.column("y").copy()
    random = np.random.default_rng(3)
    rows, landmarks = random.integers(0, COUNT, 30), random.integers(0, 68, 30)
    turn = random.uniform(0, 2 * np.pi, 30)
    x[rows, landmarks] += 25 * np.cos(turn)
    y[rows, landmarks] += 25 * np.sin(turn)

    found = agree(human.with_columns(x=x, y=y), readings(truth), np.ones(COUNT, bool))

    evidence = found.evidence
    usual = np.median(evidence["error_before"], axis=0)
    moved = np.linalg.norm(found.points - np.stack([x, y], -1), axis=-1)
    far = moved > 6 * usual
    assert far[rows, landmarks].mean() > 0.8
    assert (evidence["suspicion"][far] >= 0.5).all()
    assert "far off" in set(evidence["reason"][rows, landmarks])
    # Noise has heavy tails: some of its points are as far off in truth.
    called = evidence["reason"] == "far off"
    apart = np.linalg.norm(np.stack([x, y], -1) - truth, axis=-1)
    assert (apart > 6 * np.median(apart, axis=0))[called].mean() > 0.7


def test_habits_of_annotators_are_taken_off_before_they_are_believed(truth):
    human, gross = labels(truth, "annotators-clean")
    views = readings(truth)
    nobody = human.with_columns(annotator=None)
    everybody = np.ones(COUNT, bool)

    known, unknown = (agree(one, views, everybody) for one in (human, nobody))

    assert missed(known.points, truth, ~gross) < missed(unknown.points, truth, ~gross)


def test_split_that_does_not_teach_changes_nothing_for_the_others(truth):
    human, _ = labels(truth, "default-clean")
    views = readings(truth)
    teach = np.arange(COUNT) < 90
    x = human.column("x").copy()
    x[~teach] += np.random.default_rng(0).normal(0, 30, x[~teach].shape)

    before = agree(human, views, teach)
    after = agree(human.with_columns(x=x), views, teach)

    np.testing.assert_allclose(before.points[teach], after.points[teach], atol=1e-9)
    assert after.evidence["suspicion"][~teach].mean() > 0.5


def test_units_do_not_matter(truth):
    """The same faces in images four times as large: the same agreement, four times as large."""
    human, _ = labels(truth, "default")
    views = readings(truth)
    columns = ["x", "y", "width", "height", "box_x", "box_y", "box_size"]
    large = human.with_columns(**{name: 4 * (human.values.get(name, human.instances.get(name))) for name in columns})
    everybody = np.ones(COUNT, bool)

    one, other = agree(human, views, everybody), agree(large, 4 * views, everybody)

    np.testing.assert_allclose(4 * one.points, other.points, atol=1e-3)
    np.testing.assert_allclose(one.evidence["suspicion"], other.evidence["suspicion"], atol=1e-4)


def test_points_without_a_label_stay_without_one(truth):
    human, _ = labels(truth, "default-clean")
    gone = np.random.default_rng(1).random(human.shape) < 0.2

    found = agree(human.without(gone), readings(truth), np.ones(COUNT, bool))

    assert np.isnan(found.points[gone]).all()
    assert np.isfinite(found.points[~gone]).all()
    assert np.isnan(found.evidence["suspicion"][gone]).all()


def test_a_point_that_the_views_do_not_show_stays_and_harms_no_other(truth):
    human, gross = labels(truth, "default")
    views, everybody = readings(truth), np.ones(COUNT, bool)
    hidden = views.copy()
    hidden[:9, :50, 8] = np.nan  # of 16
    hidden[:3, 50:100, 8] = np.nan
    hidden[:, :, 62] = np.nan  # a landmark that the detector never learnt

    found, whole = agree(human, hidden, everybody), agree(human, views, everybody)

    np.testing.assert_array_equal(found.points[:50, 8], human.points[:50, 8])
    np.testing.assert_array_equal(found.points[:, 62], human.points[:, 62])
    assert (found.evidence["suspicion"][:50, 8] == 0).all()
    assert np.isnan(found.evidence["error_after"][:50, 8]).all()
    kept = found.evidence["kept"] == NO_PEAK
    assert kept[:50, 8].all()
    assert kept[:, 62].all()
    assert kept.sum() == 50 + COUNT
    rest = ~gross
    rest[:50, 8] = rest[:, 62] = False
    assert missed(found.points, truth, rest) < 1.02 * missed(whole.points, truth, rest)


def test_exact_labels_stay_to_the_last_bit_under_a_detector_that_is_off_and_the_evidence_says_why(truth):
    human, _ = labels(truth, "none")
    away = readings(truth, seed=3) + 6 * (readings(truth, seed=4, views=1)[0] - truth)

    found = agree(human, away.astype(np.float32), np.ones(COUNT, bool))

    np.testing.assert_array_equal(found.points, human.points)
    assert set(found.evidence["kept"].reshape(-1)) == {TOO_WEAK}
    before, after, network = (found.evidence[f"error_{name}"] for name in ("before", "after", "network"))
    np.testing.assert_array_equal(before, after)
    assert (network**2).mean() > (before**2).mean()


def test_stated_errors_of_human_points_predictions_and_refined_points_are_the_true_ones(truth):
    human, gross = labels(truth, "default")
    views = readings(truth)

    found = agree(human, views, np.ones(COUNT, bool))

    true = {"before": human.points, "after": found.points, "network": views.mean(0)}
    for name, points in true.items():
        square = np.square(np.linalg.norm(points - truth, axis=-1)[~gross]).mean()
        stated = np.square(found.evidence[f"error_{name}"][~gross]).mean()
        # These predictions are better than their views say, which the errors of real detectors are not.
        assert 0.6 < stated / square < (1.8 if name != "network" else 6), name
    assert set(found.evidence["kept"].reshape(-1)) == {None}
