"""The noise models' numbers, measured on many draws."""

from collections import Counter

import numpy as np
import pytest

from lmk.errors import UnknownName
from lmk.scheme import LandmarkScheme, load_scheme
from lmk.synth.noise import ANNOTATORS, CORNERS, NOISES, annotate, annotator_name, contour_of, slides
from lmk.synth.render import render_face

SIZE, SEED, DRAWS = 1000, 11, 1500
SCHEME = load_scheme("ibug68")


@pytest.fixture(scope="module")
def truth():
    # Moved away from the border so that nothing is clipped.
    points = render_face(1, 0, 64).points / 64
    return (0.3 + 0.4 * points) * SIZE


@pytest.fixture(scope="module")
def clean(truth):
    return np.stack([annotate(truth, SIZE, SCHEME, "default-clean", SEED, i).points for i in range(DRAWS)]) - truth


@pytest.fixture(scope="module")
def annotated(truth):
    return [annotate(truth, SIZE, SCHEME, "default", SEED, i) for i in range(3 * DRAWS)]


def split(moves, truth):
    along = SCHEME.tangents(truth)
    across = np.stack([-along[:, 1], along[:, 0]], -1)
    return (moves * along).sum(-1), (moves * across).sum(-1)


def contour_points():
    return np.setdiff1d(np.arange(SCHEME.size), CORNERS["ibug68"])


def test_no_noise_gives_the_truth(truth):
    label = annotate(truth, SIZE, SCHEME, "none", SEED, 3)

    np.testing.assert_allclose(label.points, truth, rtol=1e-12)
    assert label.gross == [""] * 68
    assert label.annotator is None


def test_points_on_contours_are_missed_along_and_across_as_stated(clean, truth):
    along, across = split(clean, truth)

    assert along[:, contour_points()].std() / SIZE == pytest.approx(0.025, rel=0.03)
    assert across[:, contour_points()].std() / SIZE == pytest.approx(0.006, rel=0.03)


def test_corners_are_missed_equally_in_both_directions(clean):
    corners = clean[:, list(CORNERS["ibug68"])]

    np.testing.assert_allclose(corners.std((0, 1)) / SIZE, 0.006, rtol=0.04)
    assert np.corrcoef(corners[..., 0].ravel(), corners[..., 1].ravel())[0, 1] == pytest.approx(0, abs=0.03)


def test_tails_are_those_of_a_student_t_with_five_degrees_of_freedom(clean, truth):
    along = split(clean, truth)[0][:, contour_points()].ravel() / (0.025 * SIZE)

    # P(|t5| > 3 sqrt(5/3)) = 0.0117; a Gaussian has 0.0027.
    assert (np.abs(along) > 3).mean() == pytest.approx(0.0117, rel=0.1)
    assert np.median(np.abs(along)) == pytest.approx(0.7267 / np.sqrt(5 / 3), rel=0.02)


def test_noise_is_independent_from_point_to_point(clean, truth):
    along = split(clean, truth)[0][:, 1:16]

    correlation = np.corrcoef(along.T)
    assert np.abs(correlation[~np.eye(15, dtype=bool)]).max() < 0.12


def test_three_per_cent_of_the_points_are_gross_and_say_how(annotated):
    kinds = Counter(kind for label in annotated for kind in label.gross)

    total = sum(kinds.values())
    assert set(kinds) == {"", "swap", "shift", "slip"}
    assert 1 - kinds[""] / total == pytest.approx(0.03, abs=0.006)
    assert kinds["shift"] / total == pytest.approx(0.010, abs=0.003)
    assert kinds["slip"] / total == pytest.approx(0.013, abs=0.003)


def test_a_swap_exchanges_left_and_right_of_the_whole_face(annotated, truth):
    swapped = [label for label in annotated if "swap" in label.gross]

    assert 0 < len(swapped) < len(annotated) * 0.02
    for label in swapped:
        assert {k for k, kind in enumerate(label.gross) if kind} == {k for pair in SCHEME.mirror for k in pair}
        assert np.median(np.linalg.norm(label.points[SCHEME.flip] - truth, axis=1)) < 0.03 * SIZE


def test_a_shift_moves_a_contour_as_a_whole_by_several_per_cent(annotated, truth):
    shifted = [label for label in annotated if "shift" in label.gross]

    for label in shifted[:40]:
        points = np.array([kind == "shift" for kind in label.gross])
        contours = {int(c) for c in contour_of(SCHEME)[points]}
        for contour in contours:
            chain = sorted(set(SCHEME.contours[contour]))
            assert points[chain].all()
            move = np.linalg.norm(np.median(label.points[chain] - truth[chain], axis=0)) / SIZE
            assert 0.01 < move < 0.13


def test_a_slip_puts_a_point_near_the_place_of_its_neighbour(annotated, truth):
    before, after = SCHEME.neighbours.T
    distances, spacings = [], []
    for label in annotated:
        for k in np.flatnonzero([kind == "slip" for kind in label.gross]):
            if before[k] == k or after[k] == k:
                continue
            places = truth[[before[k], after[k]]]
            distances.append(np.linalg.norm(label.points[k] - places, axis=1).min())
            spacings.append(np.linalg.norm(places - truth[k], axis=1).mean())
    assert len(distances) > 100
    assert np.median(distances) < 0.03 * SIZE
    assert np.median(distances) < np.median(spacings)


@pytest.mark.parametrize("name", NOISES)
def test_points_stay_inside_the_image_and_draws_repeat(name, truth):
    edge = truth - truth.min(0)

    labels = [annotate(edge, SIZE, SCHEME, name, SEED, i) for i in range(30)]

    points = np.stack([label.points for label in labels])
    assert points.min() >= 0
    assert points.max() <= SIZE - 1
    again = annotate(edge, SIZE, SCHEME, name, SEED, 29)
    assert again.points.tobytes() == labels[29].points.tobytes()
    assert again.gross == labels[29].gross
    assert NOISES[name].gross or not any(any(label.gross) for label in labels)


def test_an_annotator_slides_by_a_constant_along_each_contour(truth):
    labels = [annotate(truth, SIZE, SCHEME, "annotators-clean", SEED, i) for i in range(4 * DRAWS)]
    names = np.array([label.annotator for label in labels])
    along, across = split(np.stack([label.points for label in labels]) - truth, truth)
    expected = slides(SCHEME, SEED, 0.015)

    assert set(names) == {annotator_name(k) for k in range(ANNOTATORS)}
    contour = contour_of(SCHEME)
    for annotator in range(ANNOTATORS):
        mine = names == annotator_name(annotator)
        for number in range(len(SCHEME.contours)):
            points = np.intersect1d(np.flatnonzero(contour == number), contour_points())
            mean = along[mine][:, points].mean() / SIZE
            assert mean == pytest.approx(expected[annotator, number], abs=0.0045)
        assert across[mine][:, contour_points()].mean() / SIZE == pytest.approx(0, abs=0.001)


def test_slides_are_drawn_once_from_the_seed_with_the_stated_spread():
    many = np.concatenate([slides(SCHEME, seed, 0.015).ravel() for seed in range(60)])

    assert many.std() == pytest.approx(0.015, rel=0.05)
    np.testing.assert_array_equal(slides(SCHEME, 4, 0.015), slides(SCHEME, 4, 0.015))


def test_a_scheme_without_contours_gets_round_noise():
    scheme = LandmarkScheme(name="dots", names=("a", "b", "c"))
    truth = np.full((3, 2), 500.0)

    moves = np.stack([annotate(truth, SIZE, scheme, "default", SEED, i).points for i in range(2000)]) - truth

    np.testing.assert_allclose(moves.std((0, 1)) / SIZE, 0.006, rtol=0.05)


def test_an_unknown_noise_is_refused_with_the_known_ones(truth):
    with pytest.raises(UnknownName, match=r"unknown noise 'loud'; known: annotators, .*default.*none"):
        annotate(truth, SIZE, SCHEME, "loud", SEED, 0)
