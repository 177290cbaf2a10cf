"""Schemes are data; these hold what other rooms expect of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lmk.errors import SchemeError, UnknownName
from lmk.scheme import known_schemes, load_scheme, parse_scheme

SIZES = {"ibug68": 68, "wflw98": 98, "cofw29": 29, "aflw19": 19, "aflw21": 21, "coco17": 17, "hand21": 21,
         "wholebody133": 133}  # fmt: skip


def test_all_schemes_of_the_papers_are_there():
    assert {name: load_scheme(name).size for name in known_schemes()} == SIZES


@pytest.mark.parametrize("name", SIZES)
def test_a_mirrored_pair_has_mirrored_names_and_the_rest_lies_on_the_axis(name):
    scheme = load_scheme(name)

    for left, right in scheme.mirror:
        one, other = scheme.names[left], scheme.names[right]
        if "left" in one or "right" in one:
            swapped = one.replace("left", "#").replace("right", "left").replace("#", "right")
            assert swapped.rstrip("0123456789") == other.rstrip("0123456789")
    alone = set(range(scheme.size)) - {k for pair in scheme.mirror for k in pair}
    assert not [scheme.names[k] for k in alone if "left" in scheme.names[k] or "right" in scheme.names[k]]


@pytest.mark.parametrize("name", SIZES)
def test_a_mirrored_contour_is_a_contour(name):
    scheme = load_scheme(name)
    as_sets = {frozenset(contour) for contour in scheme.contours}

    for contour in scheme.contours:
        assert frozenset(scheme.flip[k] for k in contour) in as_sets


@pytest.mark.parametrize("name", [name for name in SIZES if name not in ("coco17", "hand21", "wholebody133")])
def test_the_papers_normalisers_are_there_and_symmetric(name):
    scheme = load_scheme(name)

    for normaliser in ("interocular", "interpupil"):
        left, right = dict(scheme.normalisers)[normaliser]
        assert sorted(scheme.flip[k] for k in left) == sorted(right)


def test_ibug_points_that_everybody_knows_by_number():
    scheme = load_scheme("ibug68")

    assert dict(scheme.normalisers) == {
        "interocular": ((36,), (45,)),
        "interpupil": (tuple(range(36, 42)), tuple(range(42, 48))),
    }
    assert {36: 45, 48: 54, 0: 16, 31: 35}.items() <= dict(enumerate(scheme.flip.tolist())).items()
    assert scheme.flip[[8, 30, 33, 51, 57, 62, 66]].tolist() == [8, 30, 33, 51, 57, 62, 66]


@given(arrays(np.float64, (3, 68, 2), elements=st.floats(-1e3, 1e3)))
def test_mirroring_twice_changes_nothing(points):
    flip = load_scheme("ibug68").flip

    np.testing.assert_array_equal(points[:, flip][:, flip], points)


def test_the_direction_is_that_of_the_two_neighbours_and_of_one_at_an_open_end():
    scheme = parse_scheme('{"name": "s", "points": 6, "contours": [[0, 1, 2], [3, 4, 2, 3]]}', "s")
    points = np.array([[0, 0], [1, 0], [1, 1], [5, 5], [5, 9], [7, 7]], float)

    along = scheme.tangents(points)

    half = np.sqrt(0.5)
    np.testing.assert_allclose(along[0], [1, 0])  # open end: itself and its neighbour
    np.testing.assert_allclose(along[1], [half, half])
    np.testing.assert_allclose(along[2], [0, 1])  # on two contours: the first counts
    np.testing.assert_allclose(along[3], np.array([4, 8]) / np.sqrt(80))  # closed: from 2 to 4
    assert np.isnan(along[5]).all()  # on none


def test_neighbours_in_one_place_give_no_direction():
    scheme = parse_scheme('{"name": "s", "points": 3, "contours": [[0, 1, 2]]}', "s")

    assert np.isnan(scheme.tangents(np.array([[1.0, 1], [3, 2], [1, 1]]))[1]).all()


def test_a_users_own_scheme_needs_a_name_and_points_only():
    scheme = parse_scheme('{"name": "wing", "points": 12}', "wing.json")

    assert (scheme.size, scheme.contours, scheme.mirror) == (12, (), ())
    assert scheme.flip.tolist() == list(range(12))


def test_a_scheme_comes_back_from_its_json():
    scheme = load_scheme("wflw98")

    assert parse_scheme(json.dumps(scheme.to_json()), "again") == scheme


def test_the_templates_of_a_drawing_program_are_understood(shared_data):
    scheme = load_scheme(str(shared_data / "frl-london" / "scheme.json"))

    assert scheme.size == 189
    assert (0, 0) not in scheme.contours  # a line of one point is no contour
    assert (2, 3, 4, 5, 6, 7, 8, 9, 2) in scheme.contours


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "an object"),
        ('{"name": "s"}', "points"),
        ('{"name": "s", "points": 0}', "positive number"),
        ('{"name": "s", "points": ["a", "a"]}', "'a' twice"),
        ('{"name": "s", "points": 3, "contour": []}', "unknown key 'contour'; known: contours"),
        ('{"name": "s", "points": 3, "contours": [[0, 3]]}', "from 0 to 2"),
        ('{"name": "s", "points": 3, "contours": 5}', "a list"),
        ('{"name": "s", "points": 3, "mirror": [[0, 1, 2]]}', "two points"),
        ('{"name": "s", "points": 3, "mirror": [[0, 1], [1, 2]]}', "point 1 in two pairs"),
        ('{"name": "s", "points": 3, "normalisers": {"n": [[0]]}}', "two lists"),
    ],
)
def test_a_scheme_that_contradicts_itself_is_refused_in_one_line(text, says):
    with pytest.raises(SchemeError, match=says) as error:
        parse_scheme(text, "mine.json")

    assert str(error.value).startswith("mine.json: ")
    assert "\n" not in str(error.value)


def test_an_unknown_scheme_names_the_known_ones():
    with pytest.raises(UnknownName, match=r"known: .*ibug68"):
        load_scheme("ibug86")
    with pytest.raises(SchemeError, match="no such scheme file"):
        load_scheme("nowhere.json")
