"""The loop learns, stops, goes on after a kill, and gives the same weights each time."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open

from lmk.config import TrainingParams
from lmk.crops import crops_of
from lmk.errors import DataError, ModelError
from lmk.models.hourglass import HourglassParams
from lmk.models.resnet import ResNetParams
from lmk.models.store import WEIGHTS, build_model, load_model, read_config, write_tensors
from lmk.store import write_annotations
from lmk.training.fit import fit
from lmk.training.held_out import held_out
from lmk.training.loop import Course, learning_rate, train
from lmk.training.recipe import Job, Recipe, provenance
from tests.conftest import ROOT


@pytest.fixture
def setting(rendered, human, small, tmp_path):
    """Everything but the parameters of a training."""
    crops = crops_of(human, rendered / "faces", 64)

    def run(training=small.training, network=small.model, work="work", after_step=None, labels=human):
        model = build_model(network, human.scheme, training.seed)
        recipe = Recipe(network, training, small.augmentation)
        return train(model, labels, crops, recipe, Course(tmp_path / work, "test", after_step))

    return run


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(setting, small):
    one, _ = setting(work="one")
    two, _ = setting(work="two")
    other, _ = setting(small.training.changed(seed=1), work="three")

    for name, value in weights(one).items():
        assert torch.equal(value, weights(two)[name]), name
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


@pytest.mark.parametrize("optimiser", ["adamw", "rmsprop"])
def test_a_training_that_was_interrupted_ends_with_the_same_weights(setting, small, optimiser):
    params = small.training.changed(optimiser=optimiser, patience=3)

    def interrupt(step):
        if step == 5:  # between two checkpoints
            raise KeyboardInterrupt

    whole, curve = setting(params, work="whole")
    with pytest.raises(KeyboardInterrupt):
        setting(params, work="cut", after_step=interrupt)
    steps = []
    resumed, resumed_curve = setting(params, work="cut", after_step=steps.append)

    assert steps[0] == 5  # goes on from the checkpoint after step 4
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name
    assert curve.equals(resumed_curve)


@pytest.mark.parametrize(
    "network",
    [
        HourglassParams(
            kind="hourglass",
            stacks=2,
            width=16,
            depth=2,
            input_size=64,
            heatmap_size=32,
            sigma=6.0,
            loss="cross_entropy",
        ),
        HourglassParams(
            kind="hourglass",
            stacks=1,
            width=16,
            depth=2,
            input_size=64,
            heatmap_size=16,
            sigma=12.0,
            loss="cross_entropy",
        ),
        HourglassParams(
            kind="hourglass", stacks=1, width=16, depth=1, input_size=64, heatmap_size=64, sigma=6.0, loss="chi_square"
        ),
        ResNetParams(kind="resnet", width=8, depth=1, input_size=64),
    ],
)
def test_every_network_learns(setting, small, network):
    _, curve = setting(small.training.changed(images=160, look_every=80), network)

    assert curve["loss"].iloc[-1] < curve["loss"].iloc[0]
    assert curve["val_nme"].notna().all()


def test_training_stops_when_val_gains_nothing_more_and_keeps_the_best(setting, small):
    params = small.training.changed(images=3200, patience=2, learning_rate=1e-9)

    _, curve = setting(params)

    assert len(curve) < 200
    assert curve["val_nme"].iloc[-2:].min() >= curve["val_nme"].iloc[:-2].min()


def test_a_set_without_train_is_refused(setting, human):
    only_test = human.with_columns(split="test")

    with pytest.raises(DataError, match="no instances in split train"):
        setting(labels=only_test)


def test_no_image_is_seen_more_often_than_it_may_be(setting, small, human):
    faces = int(human.in_split("train").sum())

    _, curve = setting(small.training.changed(images=10_000, epochs=2), small.model)

    batch = small.training.batch
    assert 2 * faces <= curve["images"].iloc[-1] < 2 * faces + batch


def test_the_rate_rises_and_falls_as_the_schedule_says():
    cosine = TrainingParams(
        seed=0, threads=1, images=1, epochs=1, memorised=0.5, held_out=0.0,
        batch=1, optimiser="adamw", learning_rate=2.0, weight_decay=0.0, schedule="cosine",
        step_at=[0.5, 0.75], step_factor=0.1, averaging=0.0, patience=None, look_every=1,
    )  # fmt: skip
    step = cosine.changed(schedule="step")

    assert [learning_rate(cosine, done) for done in (0.25, 0.5, 1.0)] == pytest.approx(
        [2 * (1 + np.sqrt(0.5)) / 2, 1.0, 0.0]
    )
    assert [learning_rate(step, done) for done in (0.4, 0.5, 0.8)] == pytest.approx([2.0, 0.2, 0.02])
    assert 0 < learning_rate(step, 0.0) < 0.2


KILLED = """
import os, signal, sys
from pathlib import Path
from lmk.config import default_profile, load_params
from lmk.training.fit import fit
from lmk.training.recipe import Job, Recipe
from tests.conftest import SMALL
folder, images, when = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
params = load_params(default_profile(), SMALL)
def kill(step):
    if step == when:
        os.kill(os.getpid(), signal.SIGKILL)
job = Job(folder / "i00.parquet", images, folder / "model", folder / "work", "test")
fit(Recipe(params.model, params.training, params.augmentation), job, after_step=kill)
"""


def test_a_killed_process_goes_on_from_its_last_checkpoint_to_the_same_bytes(rendered, human, small, tmp_path):
    write_annotations(human, tmp_path / "i00.parquet")

    def run(when):
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(rendered / "faces"), str(when)]
        return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)

    assert run(5).returncode == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    assert len(list((tmp_path / "work").glob("*/checkpoint.safetensors"))) == 1
    finished = run(-1)
    assert finished.returncode == 0, finished.stderr
    job = Job(tmp_path / "i00.parquet", rendered / "faces", tmp_path / "at once", tmp_path / "other work", "test")
    fit(Recipe(small.model, small.training, small.augmentation), job)

    for name in (WEIGHTS, "config.json", "curve.csv"):
        assert (tmp_path / "model" / name).read_bytes() == (tmp_path / "at once" / name).read_bytes()


def test_a_network_that_is_there_is_not_trained_again_and_other_parameters_train_another(
    rendered, human, small, tmp_path
):
    write_annotations(human, tmp_path / "i00.parquet")
    steps = []

    job = Job(tmp_path / "i00.parquet", rendered / "faces", tmp_path / "model", tmp_path / "work", "test")

    def run(training):
        return fit(Recipe(small.model, training, small.augmentation), job, after_step=steps.append)

    run(small.training)
    first = len(steps)
    run(small.training)
    assert len(steps) == first
    run(small.training.changed(images=16, learning_rate=1e-4))
    assert len(steps) == first + 2
    assert read_config(tmp_path / "model")["provenance"]["parameters"]["training"]["images"] == 16
    assert load_model(tmp_path / "model", human.scheme).params == small.model


@pytest.mark.parametrize("content", [b"", b"half of a checkpoint"])
def test_a_checkpoint_that_a_disk_has_spoilt_is_passed_over_and_said(setting, content, tmp_path, capsys):
    whole, _ = setting(work="whole")
    (tmp_path / "spoilt").mkdir()
    (tmp_path / "spoilt" / "checkpoint.safetensors").write_bytes(content)

    again, _ = setting(work="spoilt")

    assert "spoilt/checkpoint.safetensors: damaged" in capsys.readouterr().err
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(again)[name]), name


def test_a_checkpoint_that_cannot_be_read_just_now_does_not_throw_hours_away(setting, tmp_path, monkeypatch):
    setting(work="work")

    def busy(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("lmk.training.loop.safe_open", busy)
    with pytest.raises(OSError, match="Input/output error"):
        setting(work="work")


def test_whatever_changes_a_network_is_in_its_provenance(human, rendered, small, tmp_path, monkeypatch):
    write_annotations(human, tmp_path / "i00.parquet")
    job = Job(tmp_path / "i00.parquet", rendered / "faces", tmp_path / "model", tmp_path / "work", "test")
    recipe = Recipe(small.model, small.training, small.augmentation)
    before = provenance(recipe, job)

    for place, value in (
        ("lmk.models.hourglass.StackedHourglass.coarse", 0.25),  # share of coarse images, of a class
        ("lmk.models.heatmaps.FAR", 5.0),  # how far maps are looked at
        ("lmk.kernels.heatmap.STAR_WIDTH", 0.02),  # of a loss
        ("lmk.training.batches.FEWEST", 9),  # of an augmentation
        ("lmk.crops.MARGIN", 1.3),  # of what is seen
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, value)
            assert provenance(recipe, job) != before, place
    assert provenance(recipe, job) == before
    with monkeypatch.context() as patch:  # what may be asked for changes nothing that was asked for
        for place in ("lmk.limits.WIDTH", "lmk.models.hourglass.WIDTH"):
            patch.setattr(place, 2048)
        assert provenance(recipe, job) == before


def test_the_bytes_of_a_network_do_not_depend_on_the_threads_of_its_process(rendered, human, small, tmp_path):
    write_annotations(human, tmp_path / "labels.parquet")
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        work = tmp_path / f"work{threads}"
        job = Job(tmp_path / "labels.parquet", rendered / "faces", tmp_path / f"model{threads}", work, "test")
        training = small.training.changed(threads=2)
        fit(Recipe(small.model, training, small.augmentation), job, lambda step: found.append(torch.get_num_threads()))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)

    assert set(found) == {2}
    one, two = ((tmp_path / f"model{threads}" / "model.safetensors").read_bytes() for threads in (1, 2))
    assert one == two


def test_a_network_with_a_file_missing_is_trained_again_and_other_peoples_folders_are_left_alone(
    rendered, human, small, tmp_path
):
    write_annotations(human, tmp_path / "i00.parquet")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"dear")

    def run(target, network=small.model, start=None):
        labels = tmp_path / "i00.parquet"
        job = Job(labels, rendered / "faces", tmp_path / target, tmp_path / "work", "test", start)
        fit(Recipe(network, small.training, small.augmentation), job)

    run("model")
    whole = (tmp_path / "model" / WEIGHTS).read_bytes()
    (tmp_path / "model" / WEIGHTS).unlink()
    run("model")
    assert (tmp_path / "model" / WEIGHTS).read_bytes() == whole
    with pytest.raises(ModelError, match="something else than a model"):
        run("photos")
    assert (tmp_path / "photos" / "holiday.jpg").read_bytes() == b"dear"
    with pytest.raises(ModelError, match="a hourglass with other parameters than the hourglass that is asked for"):
        run("other", network=small.model.changed(width=24), start=tmp_path / "model")


def test_two_trainings_of_the_very_same_network_do_not_share_their_checkpoints(rendered, human, small, tmp_path):
    """Their work has one name, whatever folders their networks go into."""
    write_annotations(human, tmp_path / "i00.parquet")
    recipe = Recipe(small.model, small.training, small.augmentation)
    jobs = [
        Job(tmp_path / "i00.parquet", rendered / "faces", tmp_path / name, tmp_path / "work", name) for name in "ab"
    ]
    refused = []

    def train_the_other(step):
        if step == 1:
            with pytest.raises(DataError, match="another process is at work there") as error:
                fit(recipe, jobs[1])
            refused.append(str(error.value))

    fit(recipe, jobs[0], train_the_other)

    assert len(refused) == 1
    assert (tmp_path / "a").is_dir()
    assert not (tmp_path / "b").exists()
    assert [path.name for path in (tmp_path / "work").iterdir() if path.suffix == ".lock"] == []


def test_held_out_points_are_the_same_for_every_iteration_and_are_not_learnt(small, human):
    moved = human.moved(human.points + 1, 1, {}, {})

    unseen = held_out(human, 0, 0.2)

    np.testing.assert_array_equal(unseen, held_out(moved, 0, 0.2))
    train = human.in_split("train")
    assert not unseen[~train].any()
    assert 0.1 < unseen[train].mean() < 0.3
    left = human.without(unseen)
    np.testing.assert_array_equal(left.labelled, human.labelled & ~unseen)
    assert np.isnan(left.points[unseen]).all()


def _without(state, note):
    return {name: value for name, value in state.items() if "averaged" not in name}, note


def _other_best(state, note):
    return {**state, "best.x": torch.zeros(3)}, note


def _other_moments(state, note):
    name = next(name for name in state if name.endswith("exp_avg"))
    return {**state, name: state[name].flatten()[:1]}, note


def _another_step(state, note):
    name = next(name for name in state if name.endswith(".step"))
    return {**state, name: state[name] - 1000}, note


def _a_negative_square(state, note):
    name = next(name for name in state if name.endswith("exp_avg_sq"))
    return {**state, name: -1 - state[name]}, note


def _no_number(state, note):
    name = next(name for name in state if name.startswith("model.") and state[name].dtype.is_floating_point)
    return {**state, name: state[name] * torch.nan}, note


@pytest.mark.parametrize(
    "change",
    [
        _without, _other_best, _other_moments, _another_step, _a_negative_square, _no_number,
        lambda state, note: (state, "[" * 100_000), lambda state, note: (state, note.replace("step", "stop")),
        lambda state, note: (state, note.replace('"stopped": false', '"stopped": false, "save": 1')),
    ],
)  # fmt: skip
def test_of_a_checkpoint_that_is_wrong_in_a_part_nothing_is_taken(setting, change, tmp_path, capsys):
    whole, _ = setting(work="whole")
    path = tmp_path / "whole" / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        state, note = change({name: file.get_tensor(name) for name in file.keys()}, file.metadata()["note"])  # noqa: SIM118
    (tmp_path / "wrong").mkdir()
    write_tensors(state, tmp_path / "wrong" / path.name, note)

    again, _ = setting(work="wrong")

    assert f"wrong/{path.name}: " in capsys.readouterr().err
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(again)[name]), name
