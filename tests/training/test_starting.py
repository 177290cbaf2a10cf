"""What is refused before a network is trained on its own, and what is said of a training that was not needed."""

from __future__ import annotations

import json
import os

import pandas as pd
import pytest

from lmk.errors import DataError, ModelError
from lmk.models.hourglass import HourglassParams
from lmk.models.resnet import ResNetParams
from lmk.models.store import CONFIG, build_model, save_model
from lmk.scheme import load_scheme
from lmk.training.loop import COLUMNS
from lmk.training.recipe import Job
from lmk.training.starting import correction, read_weights, train_once

HOURGLASS = HourglassParams(
    kind="hourglass", stacks=1, width=8, depth=1, input_size=32, heatmap_size=16, sigma=6.0, loss="cross_entropy"
)
WIDER = HOURGLASS.changed(width=16)
RESNET = ResNetParams(kind="resnet", width=8, depth=1, input_size=32)


def kept(params, path):
    scheme = load_scheme("aflw19")
    save_model(build_model(params, scheme, 0), scheme, {}, pd.DataFrame(columns=COLUMNS), path)
    return path


def test_a_correction_takes_the_detector_as_it_is_whatever_section_model_says(tmp_path):
    detector = kept(HOURGLASS, tmp_path / "detector")

    assert correction("pca", detector, tmp_path / "new", WIDER, []).detector == HOURGLASS
    assert correction("pca", detector, tmp_path / "new", HOURGLASS, ["model.width=8"]).kind == "pca"


@pytest.mark.parametrize(
    ("start", "target", "settings", "says"),
    [
        (None, "new", [], "--correction: name the detector that is corrected with --start MODEL"),
        ("resnet", "new", [], "resnet: a resnet draws no heatmaps to correct; name a hourglass"),
        ("detector", "detector", [], "detector: holds the detector that is corrected, or lies in it"),
        ("detector", "detector/new", [], "new: holds the detector that is corrected, or lies in it"),
        ("detector", "new", ["model.width=16", "training.seed=1"], "--set model.width=16: no say with --correction"),
    ],
)
def test_what_no_correction_can_be_made_of_is_refused(tmp_path, start, target, settings, says):
    kept(HOURGLASS, tmp_path / "detector")
    kept(RESNET, tmp_path / "resnet")

    with pytest.raises(DataError) as error:
        correction("pca", start and tmp_path / start, tmp_path / target, WIDER, settings)

    assert says in str(error.value)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="not a model of lmk"):
        correction("pca", tmp_path, tmp_path / "new", HOURGLASS, [])


def test_weights_are_those_of_the_file(tmp_path):
    (tmp_path / "weights.json").write_text(json.dumps({"weights": {"a": 1, "b": 0.5}, "more": 3}))

    assert read_weights(tmp_path / "weights.json") == {"a": 1.0, "b": 0.5}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not JSON", "no weights of landmarks in it; `lmk ambiguity DIR -o FILE` writes them"),
        ("[]", "no weights of landmarks in it"),
        ('{"weights": 3}', "no weights of landmarks in it"),
        ('{"weights": {"a": "much"}}', "the weight of 'a' is \"much\"; want a number"),
        ('{"weights": {"a": true}}', "the weight of 'a' is true; want a number"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(tmp_path, text, says):
    (tmp_path / "weights.json").write_text(text)

    with pytest.raises(DataError) as error:
        read_weights(tmp_path / "weights.json")

    assert says in str(error.value)


def test_a_training_that_left_the_network_alone_is_told_from_one_that_wrote_it(tmp_path):
    target, work = tmp_path / "model", tmp_path / ".work"
    job, unfinished = Job(tmp_path / "labels", tmp_path, target, work, "test"), work / "abc"

    def training(at=None):
        unfinished.mkdir(parents=True)
        job.crops.mkdir()
        if at is not None:
            target.mkdir(exist_ok=True)
            (target / CONFIG).write_text("{}")
            os.utime(target / CONFIG, ns=(at, at))
        return unfinished

    assert train_once(job, lambda: training(at=10**18))
    assert not train_once(job, training)
    assert train_once(job, lambda: training(at=2 * 10**18))
    assert not work.exists()


def test_other_unfinished_trainings_are_left_alone(tmp_path):
    (tmp_path / ".work" / "other").mkdir(parents=True)

    job = Job(tmp_path / "labels", tmp_path, tmp_path / "model", tmp_path / ".work", "test")

    train_once(job, lambda: tmp_path / ".work" / "abc")

    assert (tmp_path / ".work" / "other").is_dir()
