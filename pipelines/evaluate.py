"""Measure: labels of every iteration, its detector, and the downstream models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.config import DataParams, DownstreamParams, EvaluationParams, RefineParams
from lmk.crops import crops_of
from lmk.evaluation import aligned_with, ced_rows, label_metrics, model_tables
from lmk.images import image_root
from lmk.inference import predict
from lmk.models.store import CURVE, load_model
from lmk.store import write_csv, write_json
from lmk.truth import read_truth
from pipelines.paths import Paths

SPLIT = "test"


def evaluate(
    data: DataParams, refine: RefineParams, downstream: DownstreamParams, evaluation: EvaluationParams, paths: Paths
) -> None:
    """Write metrics.json and the tables of the plots."""
    sets = paths.read_chain(refine)
    human = sets["i00"]
    truth = read_truth(data.truth, human.scheme)
    images = image_root(Path(data.root))
    metrics: dict[str, Any] = label_metrics(sets, truth, evaluation)
    metrics["detector"], metrics["downstream"] = {}, {}
    tested = human.select(human.in_split(SPLIT))
    curves = [_curve(name, paths.model(name)) for name in sets]
    distributions = []
    if len(tested.instances):
        known = aligned_with(truth, tested) if truth else None
        for name in sets:
            points = _predict(paths.model(name), human, images, paths.crops)
            metrics["detector"][name] = model_tables(points, tested, known, SPLIT, evaluation.failure)
        for model in downstream.models:
            metrics["downstream"][model] = {}
            for labels in ("human", "refined"):
                folder = paths.downstream(model, labels)
                points = _predict(folder, human, images, paths.crops)
                metrics["downstream"][model][labels] = model_tables(points, tested, known, SPLIT, evaluation.failure)
                name = f"{model} on {labels} labels"
                distributions.append(ced_rows(name, points, known or tested, evaluation.normaliser, evaluation.failure))
                curves.append(_curve(name, folder))
    write_json(metrics, paths.metrics)
    write_csv(pd.concat(curves), paths.plot("training"))
    write_csv(_label_rows(metrics, evaluation.normaliser, list(sets)), paths.plot("labels"))
    write_csv(
        pd.concat(distributions) if distributions else pd.DataFrame(columns=["model", "error", "share"]),
        paths.plot("ced"),
    )


def _predict(folder: Path, human: AnnotationSet, images: Path, cache: Path) -> NDArray[np.float64]:
    """Predictions for the split that is tested."""
    model, tested = load_model(folder, human.scheme), human.in_split(SPLIT)
    crops = crops_of(human, images, model.params.input_size, cache)
    return predict(model, human.select(tested), crops.select(tested), mirror=False)


def _curve(name: str, folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / CURVE).assign(model=name)


def _label_rows(metrics: dict[str, Any], normaliser: str, names: list[str]) -> pd.DataFrame:
    errors = [metrics["labels"].get(name, {}).get(normaliser, {}).get("nme") for name in names]
    return pd.DataFrame({"iteration": names, "label_error": errors})
