"""Measure: labels of every iteration, its detector, and the downstream models."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.config import DataParams, DownstreamParams, EvaluationParams, RefineParams
from lmk.crops import crops_of
from lmk.evaluation import aligned_with, ced_rows, label_metrics, measure_network
from lmk.inference import predict
from lmk.models.store import load_model, read_curve
from lmk.names import Folder
from lmk.records import ALL, DETECTOR, DOWNSTREAM, HUMAN, LABELS, MEASURED_ON, SOUND, Metrics, Subject
from lmk.store import write_csv, write_json
from lmk.truth import read_truth
from pipelines.paths import Paths

SPLIT = MEASURED_ON[DETECTOR]


def evaluate(
    data: DataParams, refine: RefineParams, downstream: DownstreamParams, evaluation: EvaluationParams, paths: Paths
) -> None:
    """Write metrics.json and the tables of the plots."""
    sets = paths.read_chain(refine)
    human = sets["i00"]
    truth = read_truth(data.truth, human.scheme)
    images = data.pictures
    metrics = label_metrics(sets, truth, evaluation)
    found = list(metrics.measures)
    tested = human.select(human.in_split(SPLIT))
    curves = [_curve(name, paths.model(name)) for name in sets]
    distributions = []
    if len(tested.instances):
        known = aligned_with(truth, tested) if truth else None
        for name in sets:
            points = _predict(paths.model(name), human, images, paths.crops)
            subject = Subject(DETECTOR, None, name, SPLIT, HUMAN, ALL)
            found += measure_network(points, tested, known, subject, evaluation.failure)
        for model, labels in product(downstream.models, ("human", "refined")):
            folder, name = paths.downstream(model, labels), f"{model} on {labels} labels"
            points = _predict(folder, human, images, paths.crops)
            subject = Subject(DOWNSTREAM, model, labels, SPLIT, HUMAN, ALL)
            found += measure_network(points, tested, known, subject, evaluation.failure)
            distributions.append(ced_rows(name, points, known or tested, evaluation.normaliser, evaluation.failure))
            curves.append(_curve(name, folder))
    metrics = replace(metrics, measures=tuple(found), networks=True)
    write_json(metrics.as_json(), paths.metrics)
    write_csv(pd.concat(curves), paths.plot("training"))
    write_csv(_label_rows(metrics, list(sets)), paths.plot("labels"))
    write_csv(
        pd.concat(distributions) if distributions else pd.DataFrame(columns=["model", "error", "share"]),
        paths.plot("ced"),
    )


def _predict(folder: Path, human: AnnotationSet, images: Folder, cache: Path) -> NDArray[np.float64]:
    """Predictions for the split that is tested."""
    model, tested = load_model(folder, human.scheme), human.in_split(SPLIT)
    crops = crops_of(human, images, model.params.input_size, cache)
    return predict(model, human.select(tested), crops.select(tested), mirror=False)


def _curve(name: str, folder: Path) -> pd.DataFrame:
    return read_curve(folder).assign(model=name)


def _label_rows(metrics: Metrics, names: list[str]) -> pd.DataFrame:
    about = {"what": LABELS, "subset": SOUND, "normaliser": metrics.normaliser}
    errors = [metrics.value("nme", **about, labels=name) for name in names]
    return pd.DataFrame({"iteration": names, "label_error": errors})
