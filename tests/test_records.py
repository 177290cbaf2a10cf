"""Records of measures, and metrics.json as a view of them: the bytes are what they were before there were records."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lmk.config import EvaluationParams
from lmk.errors import DataError
from lmk.evaluation import aligned_with, is_gross, label_metrics, measure_network, normalisers
from lmk.kernels.metrics import instance_errors, point_errors, summary
from lmk.records import (
    ALL,
    DETECTOR,
    DOWNSTREAM,
    GROSS,
    HUMAN,
    LABELS,
    SOUND,
    TRUTH,
    Measure,
    Metrics,
    Subject,
    read_metrics,
)  # fmt: skip
from lmk.scheme import load_scheme
from lmk.store import write_json
from lmk.truth import read_truth
from tests.conftest import ROOT

FAILURE = 8.0


@pytest.fixture(scope="module")
def truth(rendered):
    return read_truth(str(rendered / "truth" / "truth.csv"), load_scheme("ibug68"))


def table(points, reference, counts=True):
    """One table of metrics.json, as it is nested there."""
    errors = np.where(counts, point_errors(points, reference.points), np.nan)
    made = {"points": int(np.isfinite(errors).sum()), "threshold": FAILURE}
    for name, unit in normalisers(reference).items():
        numbers = summary(100 * instance_errors(errors, unit), FAILURE)
        made[name] = {key: float(f"{value:.6g}") if isinstance(value, float) else value
                      for key, value in numbers.items()}  # fmt: skip
    return made


def nested(sets, predictions, downstream, human, truth):
    """The content of metrics.json, put together by hand."""
    train, test = human.in_split("train"), human.in_split("test")
    reference = aligned_with(truth, human)
    gross = is_gross(reference)[train]
    tested, known = human.select(test), reference.select(test)

    def networks(points):
        return {"human": table(points[test], tested), "truth": table(points[test], known)}

    labels = {}
    for name, each in sets.items():
        points, right = each.points[train], reference.select(train)
        labels[name] = {**table(points, right, ~gross), "gross": table(points, right, gross)}
    return {
        "headline": {"normaliser": "interocular", "failure": FAILURE},
        "labels": labels,
        "detector": {name: networks(points) for name, points in predictions.items()},
        "downstream": {
            model: dict(zip(kinds, map(networks, kinds.values()), strict=True)) for model, kinds in downstream.items()
        },
    }


@pytest.fixture(scope="module")
def measured(human, truth):
    """Records of two sets of labels, two detectors and two downstream networks; and the same nested by hand."""
    random = np.random.default_rng(0)

    def near():
        return human.points + random.normal(0, 1, human.points.shape)

    sets = {"i00": human, "i01": human.moved(near(), 1, {}, {})}
    predictions = {"i00": near(), "i01": near()}
    downstream = {"resnet": {"human": near(), "refined": near()}, "hourglass": {"human": near(), "refined": near()}}
    metrics = label_metrics(sets, truth, EvaluationParams(normaliser="interocular", failure=FAILURE))
    found = list(metrics.measures)
    for name, points in predictions.items():
        subject = Subject(DETECTOR, None, name, "test", HUMAN, ALL)
        found += measure_network(points, human, truth, subject, FAILURE)
    for model, trained in downstream.items():
        for name, points in trained.items():
            subject = Subject(DOWNSTREAM, model, name, "test", HUMAN, ALL)
            found += measure_network(points, human, truth, subject, FAILURE)
    whole = Metrics(metrics.normaliser, metrics.failure, tuple(found), networks=True)
    return whole, nested(sets, predictions, downstream, human, truth)


def test_metrics_json_has_the_bytes_of_the_tables_nested_by_hand(measured, tmp_path):
    metrics, by_hand = measured

    write_json(metrics.as_json(), tmp_path / "metrics.json")
    write_json(by_hand, tmp_path / "by_hand.json")

    assert (tmp_path / "metrics.json").read_bytes() == (tmp_path / "by_hand.json").read_bytes()


def test_records_come_back_from_the_json(measured):
    metrics, _ = measured

    again = Metrics.of(json.loads(json.dumps(metrics.as_json())))

    assert set(again.measures) == set(metrics.measures)
    assert again.as_json() == metrics.as_json()


def test_the_metrics_in_git_come_back_byte_for_byte(tmp_path):
    kept = ROOT / "metrics.json"

    write_json(Metrics.of(json.loads(kept.read_text())).as_json(), tmp_path / "again.json")

    assert (tmp_path / "again.json").read_bytes() == kept.read_bytes()


def test_a_number_is_found_by_what_it_is_about(measured):
    metrics, by_hand = measured
    about = {"what": DOWNSTREAM, "model": "resnet", "labels": "refined", "against": TRUTH, "normaliser": "box"}

    assert metrics.value("nme", **about) == by_hand["downstream"]["resnet"]["refined"]["truth"]["box"]["nme"]
    assert (
        metrics.value("points", what=LABELS, labels="i01", subset=GROSS) == by_hand["labels"]["i01"]["gross"]["points"]
    )
    assert metrics.value("nme", what=LABELS, labels="i07") is None
    assert metrics.names(DOWNSTREAM)[0] == ("resnet", "human")


def test_labels_alone_have_no_tables_of_networks_and_no_gross_errors_are_none(human):
    measure = Measure(LABELS, None, "i00", "train", TRUTH, SOUND, None, "points", 3, FAILURE)

    alone = Metrics("box", FAILURE, (measure,), networks=False).as_json()

    assert alone == {
        "headline": {"normaliser": "box", "failure": FAILURE},
        "labels": {"i00": {"points": 3, "threshold": FAILURE, "gross": None}},
    }
    assert Metrics.of(alone).measures == (measure,)
    without = label_metrics({"i00": human}, None, EvaluationParams(normaliser="box", failure=FAILURE))
    assert without.as_json() == {"headline": alone["headline"], "labels": {}}
    assert Metrics.of({"labels": {}, "detector": {}, "downstream": {}}).as_json()["detector"] == {}


@pytest.mark.parametrize(
    "content", [[], {"labels": 3}, {"labels": {"i00": {"box": 5}}}, {"labels": {"i00": {"box": {"nme": "small"}}}},
                {"headline": {"normaliser": 7}}, {"detector": {"i00": {"truth": None}}}],
)  # fmt: skip
def test_metrics_that_somebody_changed_are_one_line(content, tmp_path):
    write_json(content, tmp_path / "metrics.json")

    with pytest.raises(DataError, match=r"metrics\.json: not the metrics of a run"):
        read_metrics(tmp_path / "metrics.json")
