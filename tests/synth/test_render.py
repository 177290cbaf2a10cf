"""Faces are deterministic, inside the image, and drawn where their landmarks are."""

import cv2
import numpy as np
import pytest

from lmk.synth import curves as curves_module
from lmk.synth.curves import along, draw_curves, jaw, landmarks
from lmk.synth.render import OCCLUDED, VISIBLE, aim, render_face, rotation
from lmk.synth.surface import Surface
from lmk.synth.traits import draw_traits

FACES = range(24)


def sitter(index, seed=5):
    traits = draw_traits(seed, index)
    return traits, Surface(traits.shape), draw_curves(traits.shape)


def test_the_same_seed_and_index_give_the_same_bytes():
    first, second = render_face(3, 7, 64), render_face(3, 7, 64)

    assert first.image.tobytes() == second.image.tobytes()
    assert first.points.tobytes() == second.points.tobytes()
    assert first.visibility.tobytes() == second.visibility.tobytes()


def test_another_index_or_another_seed_gives_another_face():
    face = render_face(3, 7, 64)

    assert not np.allclose(face.points, render_face(3, 8, 64).points)
    assert not np.allclose(face.points, render_face(4, 7, 64).points)


def test_a_larger_image_shows_the_same_face():
    small, large = render_face(3, 11, 96), render_face(3, 11, 192)

    np.testing.assert_allclose((small.points + 0.5) / 96, (large.points + 0.5) / 192, rtol=1e-12)
    reduced = cv2.resize(large.image, (96, 96), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(reduced - small.image).mean() < 8


@pytest.mark.parametrize("index", FACES)
def test_all_points_are_inside_the_image_and_fill_a_good_part_of_it(index):
    traits, surface, curves = sitter(index)
    points = landmarks(curves, surface)

    seen = aim(traits.view, points).project(points)[:, :2]

    assert seen.min() > 0.02
    assert seen.max() < 0.98
    assert 0.55 <= np.ptp(seen, axis=0).max() <= 0.80


@pytest.mark.parametrize("index", FACES)
def test_landmarks_do_not_depend_on_how_densely_the_curves_are_sampled(index, monkeypatch):
    traits, surface, curves = sitter(index)
    coarse = landmarks(curves, surface)

    monkeypatch.setattr(curves_module, "DENSE", 1601)
    fine = landmarks(draw_curves(traits.shape), surface)

    # A face is 130 mm high: 0.15 mm is a tenth of a pixel in an image of 128.
    assert np.linalg.norm(fine - coarse, axis=1).max() < 0.15


def test_points_sit_at_equal_shares_of_the_jaw():
    _, surface, curves = sitter(2)
    line = jaw(surface)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])

    points = landmarks(curves, surface)[:17]

    nearest = [np.linalg.norm(line - point, axis=1).argmin() for point in points]
    np.testing.assert_allclose(length[nearest] / length[-1], np.linspace(0, 1, 17), atol=0.004)


def test_the_camera_is_a_pinhole_that_turns_the_head_by_the_pose():
    traits, surface, curves = sitter(4)
    points = landmarks(curves, surface)
    camera = aim(traits.view, points)

    seen = camera.project(points)

    centred = points - np.array([0, 45, -78])
    turned = np.array([rotation(traits.view, 1.0) @ p for p in centred])
    depth = traits.view.distance - turned[:, 2]
    by_hand = turned[:, :2] / depth[:, None] * traits.view.distance * camera.scale + camera.offset
    np.testing.assert_allclose(seen[:, :2], by_hand, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation(traits.view, 1.0)), 1)


def test_a_lift_keeps_the_frontal_position():
    _, surface, curves = sitter(6)

    np.testing.assert_allclose(surface.lift(curves.lip_top)[:, :2], curves.lip_top, atol=1e-9)


@pytest.mark.parametrize("index", FACES)
def test_eyes_and_mouth_meet_in_corners(index):
    _, _, curves = sitter(index)

    for eye in curves.eyes:
        np.testing.assert_allclose(eye.upper[[0, -1]], eye.lower[[0, -1]], atol=1e-6)
        assert (eye.lower[:, 1] >= eye.upper[:, 1]).all()
    np.testing.assert_allclose(curves.lip_top[[0, -1]], curves.lip_bottom[[0, -1]], atol=1e-6)
    np.testing.assert_allclose(curves.mouth_top[[0, -1]], curves.mouth_bottom[[0, -1]], atol=1e-6)


def test_along_gives_points_at_shares_of_a_length():
    line = np.array([[0.0, 0], [3, 0], [3, 4]])

    np.testing.assert_allclose(along(line, [0, 3 / 7, 5 / 7, 1]), [[0, 0], [3, 0], [3, 2], [3, 4]])


def test_the_far_side_of_a_turned_head_is_hidden():
    def hidden(face, chosen):
        return (face.visibility[chosen] == OCCLUDED).mean()

    turned = [i for i in range(200) if abs(draw_traits(5, i).view.yaw) > np.radians(30)][:6]
    for index in turned:
        traits = draw_traits(5, index)
        # Yaw turns the nose to the right of the image when positive, so the far jaw is the image-right one.
        far, near = (range(10, 15), range(2, 7)) if traits.view.yaw > 0 else (range(2, 7), range(10, 15))
        face = render_face(5, index, 96)
        assert hidden(face, list(far)) > 0.5
        if traits.occluder == "none":
            assert hidden(face, list(near)) < 0.5


def test_upper_lids_are_drawn_where_their_landmarks_are():
    """Across the lid the lash line is the darkest place; it has to be at the landmark to within two pixels of 256."""
    size, misses = 256, []
    for index in range(40):
        traits = draw_traits(9, index)
        skin = traits.look.skin.mean()
        if traits.look.glasses != "none" or traits.occluder != "none" or skin < 0.25 or abs(traits.view.yaw) > 0.3:
            continue
        face = render_face(9, index, size)
        grey = cv2.cvtColor(face.image, cv2.COLOR_BGR2GRAY).astype(np.float32)
        for point, before, after in ((37, 36, 38), (44, 43, 45)):
            if face.visibility[point] != VISIBLE:
                continue
            direction = face.points[after] - face.points[before]
            across = np.array([direction[1], -direction[0]]) / np.linalg.norm(direction)
            steps = np.linspace(-4, 1.5, 45)
            line = face.points[point] + steps[:, None] * -across
            values = cv2.remap(grey, line[:, 0].astype(np.float32), line[:, 1].astype(np.float32), cv2.INTER_LINEAR)
            misses.append(steps[values.ravel().argmin()])
    assert len(misses) >= 10
    assert np.median(np.abs(misses)) < 2
