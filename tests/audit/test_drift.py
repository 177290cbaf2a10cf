"""Drift in numbers: against the definition written out point by point, and for sets that fit together badly."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from lmk.annotations import AnnotationSet
from lmk.audit.drift import compare, format_compare, paired
from lmk.errors import DataError, SchemeError
from lmk.scheme import load_scheme, parse_scheme
from tests.history.sets import make, scattered


def slow_distances(a: AnnotationSet, b: AnnotationSet) -> dict[int, dict[str, list[float]]]:
    """For each landmark the absolute distances of the points that both sets have, as the definition says them."""
    where = {(row.image, row.instance, row.landmark): (row.x, row.y) for row in b.frame.itertuples()}
    first = {(row.image, row.instance, row.landmark): (row.x, row.y) for row in a.frame.itertuples()}
    found: dict[int, dict[str, list[float]]] = {}
    for (image, instance, landmark), (x, y) in first.items():
        if (image, instance, landmark) not in where:
            continue
        dx, dy = where[image, instance, landmark][0] - x, where[image, instance, landmark][1] - y
        if math.isnan(dx):
            continue
        entry = found.setdefault(landmark, {"px": [], "along": [], "across": []})
        entry["px"].append(math.sqrt(dx * dx + dy * dy))
        for contour in a.scheme.contours:
            if landmark in contour:
                ring = contour[:-1] if contour[0] == contour[-1] else None
                place = contour.index(landmark)
                if ring:
                    before, after = ring[(place - 1) % len(ring)], ring[(place + 1) % len(ring)]
                else:
                    before, after = contour[max(place - 1, 0)], contour[min(place + 1, len(contour) - 1)]
                one, other = first[image, instance, before], first[image, instance, after]
                tx, ty = other[0] - one[0], other[1] - one[1]
                length = math.sqrt(tx * tx + ty * ty)
                if length > 0:  # neither NaN nor the same place twice
                    entry["along"].append(abs(dx * tx + dy * ty) / length)
                    entry["across"].append(abs(dx * ty - dy * tx) / length)
                break
    return found


def four(values):
    if not values:
        return None
    return {
        "mean": pytest.approx(sum(values) / len(values)),
        "median": pytest.approx(np.median(values)),
        "p95": pytest.approx(np.quantile(values, 0.95)),
        "max": pytest.approx(max(values)),
    }


def test_compare_gives_what_the_definition_gives_when_it_is_written_out():
    images = [f"{k}.png" for k in range(40)]
    before, after = scattered(40, 1), scattered(40, 1) + np.random.default_rng(2).normal(0, 3, (40, 8, 2))
    before[::7, 1] = np.nan  # takes the point, and the direction at its neighbours, away
    after[::5, 4] = np.nan
    before[3, 2] = before[3, 0]  # no direction at point 1
    after[:, 6] = before[:, 6]
    a, b = make(images, before), make(images[::-1], after[::-1])

    result = compare(a, b).as_json()

    slow = slow_distances(a, b)
    everything = {kind: [v for entry in slow.values() for v in entry[kind]] for kind in ("px", "along", "across")}
    assert result["points"] == len(everything["px"])
    assert result["moved"] == sum(value > 1 / 64 for value in everything["px"])
    for kind, values in everything.items():
        assert result[kind] == four(values), kind
    assert [row["landmark"] for row in result["by_landmark"]] == sorted(slow)
    for row in result["by_landmark"]:
        for kind in ("px", "along", "across"):
            assert row[kind] == four(slow[row["landmark"]][kind]), (row["landmark"], kind)
    assert result["by_landmark"][7]["along"] is None
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_slide_along_the_contour_has_nothing_across():
    line = np.array([[[0, 0], [3, 4], [6, 8], [9, 12], [0, 0], [0, 9], [9, 9], [50, 50]]], float)

    result = compare(make(["a.png"], line), make(["a.png"], line + np.array([0.6, 0.8]))).by_landmark[1].moves

    assert (result.along.max, result.across.max) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-12))


def test_a_64th_of_a_pixel_is_no_move_and_a_little_more_is_one():
    points = np.round(scattered(1, 3))
    shifted = points.copy()
    shifted[0, 0, 0] += 1 / 64
    shifted[0, 1, 0] += 1 / 63

    assert compare(make(["a.png"], points), make(["a.png"], shifted)).whole.moved == 1


def test_where_no_point_lies_on_a_contour_there_is_no_along_and_across():
    loose = parse_scheme('{"name": "loose", "points": 2}', "loose")
    points = scattered(3, 4, loose)

    result = compare(make(list("abc"), points, loose), make(list("abc"), points + 1, loose))

    assert result.whole.along is result.whole.across is None
    assert "on no contour" in format_compare(result)


def test_a_set_made_without_images_pairs_with_one_made_with_them():
    points = scattered(3, 5)
    names = ["x/one", "x/two.v2", "three"]

    pairs = paired(make([f"{name}.JPG" for name in names], points), make(names, points + np.array([3, 4])))

    assert pairs.px.shape == (3, 8)
    assert np.allclose(pairs.px, 5)


def test_endings_count_where_two_images_differ_in_nothing_else():
    points = scattered(2, 6)
    both = make(["a.jpg", "a.png"], points)

    assert np.allclose(paired(both, make(["a.png"], points[1:] + np.array([0, 2]))).px, 2)
    with pytest.raises(DataError, match="nothing to compare"):
        paired(both, make(["a"], points[1:]))


def test_instances_of_one_image_are_told_apart_and_those_of_one_set_only_are_left_out():
    points = scattered(3, 7)
    a = make(["a.png", "a.png", "b.png"], points, instances=[0, 1, 0])
    b = make(["a.png", "a.png", "c.png"], points[[1, 2, 0]] + [1, 0], instances=[1, 7, 0])

    pairs = paired(a, b)

    assert (pairs.rows.tolist(), pairs.others.tolist()) == ([1], [0])
    assert np.allclose(pairs.px, 1)


def test_sets_of_different_schemes_and_sets_without_a_common_point_are_refused():
    points = scattered(1, 8)
    face = load_scheme("ibug68")
    half, other = points.copy(), points.copy()
    half[0, :4], other[0, 4:] = np.nan, np.nan

    with pytest.raises(SchemeError, match=r"odd.*ibug68"):
        compare(make(["a"], points), make(["a"], scattered(1, 8, face), face))
    with pytest.raises(DataError, match=r"no labelled point in common.*'a'.*'b'"):
        compare(make(["a"], points), make(["b"], points))
    with pytest.raises(DataError, match="no labelled point in common"):
        compare(make(["a"], half), make(["a"], other))
