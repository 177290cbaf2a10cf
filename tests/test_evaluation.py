"""Errors are stated against the right reference, in the right unit, on the right split."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.config import EvaluationParams
from lmk.errors import DataError, UnknownName
from lmk.evaluation import (
    aligned_with,
    format_metrics,
    is_gross,
    label_metrics,
    mean_error,
    measure_labels,
    measure_network,
    measure_points,
)
from lmk.records import ALL, DETECTOR, DOWNSTREAM, HUMAN, Metrics, Subject, label_table, model_tables
from lmk.scheme import load_scheme
from lmk.truth import read_truth

TESTED = Subject(DETECTOR, None, "i00", "test", HUMAN, ALL)


@pytest.fixture(scope="module")
def truth(rendered):
    return read_truth(str(rendered / "truth" / "truth.csv"), load_scheme("ibug68"))


def test_nme_is_in_percent_of_each_normaliser(human, truth):
    reference = aligned_with(truth, human)

    found = measure_points(reference.points + np.array([3.0, 4.0]), reference, TESTED, 8.0)

    table = model_tables(found)[HUMAN]
    assert {(each.failure, each.split, each.model) for each in found} == {(8.0, "test", None)}
    eyes = np.linalg.norm(reference.points[:, 36] - reference.points[:, 45], axis=-1)
    assert table["interocular"]["nme"] == pytest.approx((500 / eyes).mean(), rel=1e-4)
    assert table["image"]["nme"] == pytest.approx(500 / 64)
    assert {"interocular", "interpupil", "box", "image"} <= table.keys()
    assert table["threshold"] == 8.0


def test_gross_errors_are_left_out_and_reported_apart(human, truth):
    reference = aligned_with(truth, human)
    train = human.in_split("train")
    gross = is_gross(reference)[train]
    errors = np.linalg.norm(human.points - reference.points, axis=-1)[train]

    table = label_table(measure_labels("i00", human, truth, 8.0))

    assert gross.any()
    assert table["points"] == (~gross).sum()
    assert table["gross"]["points"] == gross.sum()
    assert table["image"]["nme"] == pytest.approx(
        np.nanmean(np.where(gross, np.nan, errors), 1).mean() / 0.64, rel=1e-5
    )
    assert table["gross"]["image"]["nme"] > table["image"]["nme"]


def test_labels_are_measured_on_train_and_models_on_the_split_that_is_named(human, truth):
    exact = aligned_with(truth, human)
    off = exact.points.copy()
    off[~human.in_split("train")] += 50
    moved = human.with_columns(x=off[..., 0], y=off[..., 1])

    assert label_table(measure_labels("i01", moved, truth, 8.0))["box"]["nme"] == 0
    tables = model_tables(measure_network(exact.points, human, truth, TESTED, 8.0))
    assert tables["truth"]["box"]["nme"] == 0
    assert tables["human"]["box"]["nme"] > 0
    assert tables["truth"]["points"] == 4 * 68
    assert measure_network(exact.points, human.select(human.in_split("train")), truth, TESTED, 8.0) == []


def test_the_truth_is_put_in_the_order_of_the_labels(human, truth):
    backwards = truth.select(np.arange(20)[::-1])
    labels = human.select(np.arange(20) >= 10)

    found = aligned_with(backwards, labels)

    assert backwards.instances["image"].tolist() == truth.instances["image"].tolist()[::-1]
    assert found.instances["image"].tolist() == labels.instances["image"].tolist()
    np.testing.assert_array_equal(found.points, aligned_with(truth, human).points[10:])
    with pytest.raises(DataError, match=r"the truth has no instance 0 of train/000000\.jpg"):
        aligned_with(truth.select(~truth.instances["image"].eq("train/000000.jpg").to_numpy()), human)


def test_an_unknown_normaliser_names_the_known_ones(human):
    with pytest.raises(UnknownName, match="known: box, image, interocular, interpupil"):
        label_metrics({"i00": human}, None, EvaluationParams(normaliser="eyes", failure=8.0))


def test_the_table_for_the_terminal_names_the_unit_and_the_change(human, truth):
    metrics = label_metrics({"i00": human, "i01": human}, truth, EvaluationParams(normaliser="box", failure=8.0))
    subjects = [TESTED, *(Subject(DOWNSTREAM, "resnet", labels, "test", HUMAN, ALL) for labels in ("human", "refined"))]
    networks = [each for one in subjects for each in measure_network(human.points, human, truth, one, 8.0)]

    text = format_metrics(Metrics("box", 8.0, (*metrics.measures, *networks), networks=True))

    assert "% of box" in text
    assert "  i01" in text
    assert "+0.0 %" in text
    assert "trained on refined  labels   against truth" in text
    assert format_metrics(Metrics("box", 8.0, (), networks=False)) == ""


def test_the_mean_error_is_the_tables(human, truth):
    reference = aligned_with(truth, human)
    counts = ~is_gross(reference)

    table = model_tables(measure_points(human.points, reference, TESTED, 8.0, counts))[HUMAN]

    assert mean_error(human.points, reference, "interocular", counts) == table["interocular"]["nme"]
    assert mean_error(human.points, reference, "image", None) > mean_error(human.points, reference, "image", counts)
