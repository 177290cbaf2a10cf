"""Units on top of a detector, trained: by the library, as downstream models, and from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lmk import cli
from lmk.config import DownstreamParams
from lmk.crops import crops_of
from lmk.errors import DataError, ModelError
from lmk.inference import predict
from lmk.models.corrections import CorrectionParams
from lmk.models.hourglass import HourglassParams
from lmk.models.store import load_model, read_config
from lmk.registry import NETWORKS
from lmk.store import write_annotations
from lmk.training.fit import fit
from lmk.training.recipe import Job, Recipe
from tests.conftest import SMALL

CORRECTIONS = [name for name, entry in NETWORKS.items() if entry.corrects]


@pytest.fixture(scope="module")
def trained(rendered, human, small, tmp_path_factory):
    """Labels, crops, and a detector on disk."""
    folder = tmp_path_factory.mktemp("corrections")
    write_annotations(human, folder / "i00.parquet")
    crops = crops_of(human, rendered / "faces", 64)
    target = folder / "detector"
    job = Job(folder / "i00.parquet", rendered / "faces", target, folder / "work", "detector")
    fit(Recipe(small.model, small.training, small.augmentation), job)
    return folder, crops, target


@pytest.mark.parametrize("kind", CORRECTIONS)
def test_a_correction_is_trained_kept_and_read_and_leaves_its_detector_alone(
    trained, rendered, human, small, tmp_path, kind
):
    folder, crops, beneath = trained
    params = CorrectionParams(kind=kind, detector=small.model)
    for target in ("one", "two"):
        work = tmp_path / target / "work"
        job = Job(folder / "i00.parquet", rendered / "faces", tmp_path / target, work, "correction", beneath)
        fit(Recipe(params, small.training, small.augmentation), job)

    one, two = (load_model(tmp_path / name, human.scheme) for name in ("one", "two"))
    before = load_model(beneath, human.scheme).state_dict()
    for name, value in one.detector.state_dict().items():
        assert torch.equal(value, before[name]), name
    points = predict(one, human, crops, mirror=True)
    assert points.shape == human.points.shape
    assert np.isfinite(points).all()
    np.testing.assert_array_equal(points, predict(two, human, crops, mirror=True))


def test_a_correction_learns_to_leave_no_point_far_out(trained, rendered, human, small, tmp_path):
    """Heatmaps of a network of a second's training are wild; the mean shape alone is better."""
    folder, crops, beneath = trained
    training = small.training.changed(images=800, learning_rate=3e-3, epochs=100)
    params = CorrectionParams(kind="ghcu", detector=small.model)
    job = Job(folder / "i00.parquet", rendered / "faces", tmp_path / "ghcu", tmp_path / "work", "ghcu", beneath)
    fit(Recipe(params, training, small.augmentation), job)

    def missed(path):
        points = predict(load_model(path, human.scheme), human, crops, mirror=False)
        return np.linalg.norm(points - human.points, axis=-1)[human.in_split("test")].mean()

    assert missed(tmp_path / "ghcu") < 0.7 * missed(beneath)


def test_a_unit_that_compares_images_refuses_to_see_one_at_a_time(trained, rendered, human, small, tmp_path):
    folder, _, beneath = trained
    params = CorrectionParams(kind="shaped", detector=small.model)
    job = Job(folder / "i00.parquet", rendered / "faces", tmp_path / "shaped", tmp_path / "work", "shaped", beneath)

    with pytest.raises(ModelError, match=r"batches of two images or more; raise training\.batch"):
        fit(Recipe(params, small.training.changed(batch=1), small.augmentation), job)


@pytest.mark.parametrize("kind", CORRECTIONS)
def test_a_correction_with_nothing_to_learn_from_is_refused(trained, rendered, human, small, tmp_path, kind):
    _, _, beneath = trained
    empty = human.with_columns(split="test")
    write_annotations(empty, tmp_path / "empty.parquet")
    params = CorrectionParams(kind=kind, detector=small.model)
    job = Job(tmp_path / "empty.parquet", rendered / "faces", tmp_path / "out", tmp_path / "work", kind, beneath)

    with pytest.raises(DataError, match="no instances in split train"):
        fit(Recipe(params, small.training, small.augmentation), job)


def test_importance_of_landmarks_is_learnt_and_kept(trained, rendered, human, small, tmp_path):
    folder, _, beneath = trained
    importance = {name: 1.0 if number < 17 else 0.0 for number, name in enumerate(human.scheme.names)}
    params = CorrectionParams(kind="ghcu", detector=small.model)
    job = Job(folder / "i00.parquet", rendered / "faces", tmp_path / "jaw", tmp_path / "work", "jaw", beneath)
    fit(Recipe(params, small.training, small.augmentation, importance=importance), job)

    learnt = load_model(tmp_path / "jaw", human.scheme).head.bias.view(68, 2) != 0
    assert learnt[:17].all()
    assert not learnt[17:].any()
    assert read_config(tmp_path / "jaw")["provenance"]["importance"] == importance


def test_a_correction_of_another_detector_is_refused(trained, rendered, human, small, tmp_path):
    folder, _, beneath = trained
    other = CorrectionParams(kind="ghcu", detector=small.model.changed(width=24))
    for start, message in ((beneath, "not the detector"), (None, "name one that is trained")):
        job = Job(folder / "i00.parquet", rendered / "faces", tmp_path / "out", tmp_path / "work", "it", start)
        with pytest.raises(ModelError, match=message):
            fit(Recipe(other, small.training, small.augmentation), job)


def test_downstream_models_correct_what_was_trained_before_them(small):
    beneath = small.downstream.models["hourglass"]
    assert isinstance(beneath, HourglassParams)
    models = {**small.downstream.models, "corrected": CorrectionParams(kind="shaped", detector=beneath)}
    params = small.downstream.changed(models=models)

    assert params.beneath("corrected") == "hourglass"
    assert params.beneath("resnet") is None
    with pytest.raises(ValueError, match="not among the models before it"):
        DownstreamParams.model_validate(
            {**params.model_dump(), "models": {"corrected": models["corrected"].model_dump()}}
        )


def test_the_command_line_trains_a_correction(trained, rendered, human, capsys, tmp_path):
    folder, _, beneath = trained
    settings = [part for setting in SMALL for part in ("--set", setting)]
    command = ["train", folder / "i00.parquet", "--images", rendered / "faces", "-o", tmp_path / "out", *settings]

    corrected = [str(part) for part in (*command, "--correction", "pca", "--start", beneath)]
    assert cli.main(corrected) == 0
    assert "trained on" in capsys.readouterr().out
    assert cli.main(corrected) == 0
    assert "just so before; if images are others" in capsys.readouterr().out
    assert cli.main([*corrected, "--set", "model.width=99"]) == 1
    assert "model.width=99: no say with --correction, which takes" in capsys.readouterr().err
    assert load_model(tmp_path / "out", human.scheme).params.kind == "pca"
    assert cli.main([str(part) for part in (*command, "--correction", "pca")]) == 1
    assert "--start MODEL" in capsys.readouterr().err
    before = (beneath / "config.json").read_bytes()
    for target in (beneath, beneath / "within"):
        onto = [*command[:4], "-o", target, *settings, "--correction", "ghcu", "--start", beneath]
        assert cli.main([str(part) for part in onto]) == 1
        assert "holds the detector that is corrected, or lies in it" in capsys.readouterr().err
    assert (beneath / "config.json").read_bytes() == before
    assert cli.main([str(part) for part in (*command, "--start", tmp_path / "out")]) == 1
    assert "a pca with other parameters than the hourglass that is asked for" in capsys.readouterr().err
    weights = tmp_path / "weights.json"
    weighted = [str(part) for part in (*command, "--correction", "pca", "--start", beneath, "--weights", weights)]
    assert cli.main(weighted) == 1
    assert "no such file of weights" in capsys.readouterr().err
    weights.write_text(json.dumps({"weights": {**dict.fromkeys(human.scheme.names, 1.0), "p3": None}}))
    assert cli.main(weighted) == 1
    assert "the weight of 'p3' is null; want a number" in capsys.readouterr().err
    weights.write_text(json.dumps({"weights": dict.fromkeys(human.scheme.names, 1.0)}))
    assert cli.main(weighted) == 1
    assert "leave them out" in capsys.readouterr().err
    looked = ["evaluate", folder / "i00.parquet", "--model", tmp_path / "out", "--images", rendered / "faces"]
    assert cli.main([str(part) for part in looked]) == 0
