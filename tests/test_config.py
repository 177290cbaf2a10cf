"""Parameters: complete, typed, and every mistake in one line."""

from __future__ import annotations

import pytest

from lmk.config import default_profile, load_params
from lmk.errors import ConfigError, LmkError
from tests.conftest import ROOT


@pytest.mark.parametrize("path", [default_profile(), ROOT / "params.yaml"])
def test_shipped_parameters_are_complete(path):
    params = load_params(path)

    assert params.refine.chain()[0] == "i00"
    assert params.refine.chain()[-1] == params.refine.last == "i03"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("alignment.prior_wieght=1", "alignment.prior_wieght: unknown key; known: .*prior_weight"),
        ("alignment.prior_weight=-1", "alignment.prior_weight: .*greater than or equal to 0.*-1"),
        ("alignment.prior_weight=much", "alignment.prior_weight: .*number.*'much'"),
        ("alignment.prior_weight=.nan", "alignment.prior_weight: .*finite"),
        ("alignment.observation=truth", "'updated' or 'human'"),
        ("alignement.window=3", "no section 'alignement'; known: alignment"),
        ("alignment.window", "section.field=value"),
        ("window=3", "section.field=value"),
        ("alignment.window=[1", "not YAML"),
        ("training.batch=1.5", "training.batch: .*integer"),
        ("training.batch=true", "training.batch: .*integer"),
        ("model.heatmap_size=60", "1, 2 or 4 times"),
        ("model.input_size=100", "multiple of"),
        ("downstream.models.resnet.width=-3", "downstream.models.resnet.width: .*greater than 0"),
        ("downstream.models.resnet.size=3", "downstream.models.resnet.size: unknown key; known: .*input_size"),
        ("refine.last=i07", "i07.*known"),
        ("refine.schedule.i02.prev=i03", "i02 follows 'i03', which is not before it"),
        ("refine.schedule.i01.images=-1", "refine.schedule.i01.images: .*greater than or equal to 0"),
    ],
)
def test_a_wrong_setting_is_one_line_that_says_what_would_work(setting, says):
    with pytest.raises(ConfigError, match=says) as error:
        load_params(default_profile(), [setting])

    assert "\n" not in str(error.value)
    assert setting in str(error.value)


def test_a_setting_changes_one_parameter_and_numbers_may_be_written_as_dvc_reads_them():
    params = load_params(default_profile(), ["training.learning_rate=1e-3", "alignment.window=20"])

    assert params.training.learning_rate == 0.001
    assert params.alignment.window == 20
    assert params.alignment.template == load_params(default_profile()).alignment.template


def test_a_schedule_may_grow_by_a_setting():
    more = "refine.schedule.i04={prev: i03, refiner: keep, images: 0, learning_rate: 1.0e-3}"

    assert load_params(default_profile(), [more, "refine.last=i04"]).refine.chain() == [
        "i00",
        "i01",
        "i02",
        "i03",
        "i04",
    ]


def test_files_that_are_not_there_or_not_yaml_are_named(tmp_path):
    broken = tmp_path / "params.yaml"
    broken.write_text("data: [")
    for path, says in ((tmp_path / "no.yaml", "no such parameter file"), (broken, "cannot be read as YAML")):
        with pytest.raises(LmkError, match=says) as error:
            load_params(path)
        assert str(path) in str(error.value)


def test_parameters_cannot_be_changed_after_reading():
    params = load_params(default_profile())

    with pytest.raises(ValueError, match="frozen"):
        params.alignment.window = 3.0
