"""Parameters: complete, typed, and every mistake in one line."""

from __future__ import annotations

import pytest
import yaml

from lmk.config import default_profile, known_profiles, load_params, profile_path
from lmk.errors import ConfigError, LmkError
from pipelines.deps import modules
from tests.conftest import ROOT


@pytest.mark.parametrize("path", [default_profile(), ROOT / "params.yaml"])
def test_shipped_parameters_are_complete(path):
    params = load_params(path)

    assert params.refine.chain()[0] == "i00"
    assert params.refine.chain()[-1] == params.refine.last == "i03"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("refiners.consensus.veiws=1", "refiners.consensus.veiws: unknown key; known: .*views"),
        ("refiners.consensus.views=3", "refiners.consensus.views: .*greater than or equal to 4.*3"),
        ("refiners.consensus.views=much", "refiners.consensus.views: .*integer.*'much'"),
        ("refiners.consensus.mirror=maybe", "refiners.consensus.mirror: .*boolean"),
        (
            "refiners.consensus.kind=vote",
            "refiners.consensus.kind: unknown refiner 'vote'; known: align, consensus, keep",
        ),
        ("refiners.consensus={views: 8}", "refiners.consensus.kind: missing; known: align, con"),
        ("refiners.consensus=8", "refiners.consensus: want a mapping with a kind, not 8"),
        (
            "refiners.other={kind: keep, mirror: true}",
            "refiners.other: no iteration of refine.schedule uses it, so it would",
        ),
        (
            "refine.schedule.i01.refiner=align",
            "refine.schedule.i01.refiner: unknown refiner 'align'; known",
        ),
        ("evaluation.failure=.nan", "evaluation.failure: .*finite"),
        ("alternation.teach=truth", "'human' or 'refined'"),
        ("alternatoin.stop=true", "no section 'alternatoin'; known: alternation"),
        ("alternation.stop", "section.field=value"),
        ("stop=3", "section.field=value"),
        ("alternation.stop=[1", "not YAML"),
        (
            "alignment.prior_weight=0.05",
            "alignment.prior_weight is now refiners.NAME.prior_weight, of a ref",
        ),
        ("training.by_heart=0.1", "training.by_heart is now training.memorised"),
        ("audit.gates.window=avg(at_edge::INT) > 0.2", "audit.gates.window: window reads at_edge, which no refiner"),
        ("model.kind=resnet", "model.*unknown key|model.kind: a resnet draws no heatmaps"),
        ("model.kind=transformer", "model.kind: unknown network 'transformer'; known: ghcu"),
        (
            "downstream.models.resnet.kind=vgg",
            "downstream.models.resnet.kind: unknown network 'vgg'; known: ghcu",
        ),
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
    params = load_params(default_profile(), ["training.learning_rate=1e-3", "refiners.consensus.views=20"])

    assert params.training.learning_rate == 0.001
    assert params.refiners["consensus"].views == 20
    assert params.refiners["consensus"].mirror == load_params(default_profile()).refiners["consensus"].mirror


@pytest.mark.parametrize("profile", known_profiles())
def test_every_shipped_profile_is_read(profile):
    params = load_params(profile_path(profile))

    assert {iteration.refiner for iteration in params.refine.schedule.values()} == set(params.refiners)


def test_names_of_an_older_lmk_are_refused_with_the_new_ones(tmp_path):
    old = yaml.safe_load(default_profile().read_text())
    del old["refiners"], old["alternation"]
    for changes, says in (
        (
            {"alignment": {"window": 49.0, "views": 16}},
            "alignment.window: is now refiners.NAME.window, of a ref",
        ),
        ({"alignment": None}, "alignment: is now two sections, refiners and alternation; see docs"),
        ({"training": {**old["training"], "by_heart": 0.1}}, "training.by_heart: is now training.memorised"),
    ):
        (tmp_path / "old.yaml").write_text(yaml.safe_dump({**old, **changes}))
        with pytest.raises(ConfigError, match=says):
            load_params(tmp_path / "old.yaml")


def test_a_changed_section_is_checked_as_one_that_was_read():
    training = load_params(default_profile()).training

    assert training.changed(images=7).images == 7
    with pytest.raises(ConfigError, match=r"images: .*greater than 0.*0"):
        training.changed(images=0)
    with pytest.raises(ConfigError, match="imagse: unknown key"):
        training.changed(imagse=3)


def test_null_takes_a_name_out_of_a_mapping():
    params = load_params(default_profile(), ["audit.gates.doubtful=null", "downstream.models.resnet=null"])

    assert set(params.audit.gates) == {"judge", "across", "far", "landmark", "contour", "asymmetry"}
    assert "resnet" not in params.downstream.models
    with pytest.raises(ConfigError, match=r"training\.seed: .*integer"):
        load_params(default_profile(), ["training.seed=null"])


def test_nothing_changes_a_section_without_a_check():
    for path in modules().values():
        assert "model_copy(" not in path.read_text(), path


def test_a_schedule_may_grow_by_a_setting():
    more = "refine.schedule.i04={prev: i03, refiner: consensus, images: 0, learning_rate: 1.0e-3}"

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
        params.alternation.stop = False
