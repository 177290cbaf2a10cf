"""What is said before a cleaning starts: what is counted, and what is not."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from lmk.clean import clean
from lmk.config import Params, load_params, profile_path
from lmk.plan import Plan, Step, about, in_words, plan, seconds, speed_of
from lmk.store import read_annotations, remove, write_annotations
from lmk.training.speed import Speed
from lmk.workspace import Workspace
from tests.conftest import SMALL

pytestmark = pytest.mark.usefixtures("every_peak_counts_in_module")
PLANNED = Plan(
    folder=Path("cleaned"), instances=100, points=6800, learnt=80, watched=10, look_every=1000,
    steps=(
        Step("i00", None, 0, 2000, False),
        Step("i01", "consensus", 16, 4000, False),
        Step("i02", "align", 0, 0, False),
    ),
)  # fmt: skip


SETTINGS = [*SMALL, "training.images=32", "alternation.stop=false"]


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(profile_path("default"), SETTINGS)


@pytest.fixture(scope="module")
def done(rendered, params, tmp_path_factory):
    """A folder that `lmk clean` has left."""
    return clean(rendered / "faces", params, tmp_path_factory.mktemp("done") / "out")


def planned(params, rendered, paths):
    return plan(params, read_annotations(paths.annotations("i00")), rendered / "faces", paths)


def test_the_time_is_that_of_trainings_looks_at_val_and_searches():
    speed = Speed(training=0.01, predicting=0.1)

    training = 6000 * 0.01
    watching = 6 * 10 * 0.1  # 6 looks at 10 instances
    searching = (80 + 100 * (16 * 0.5 + 1) + 80) * 0.1
    assert seconds(PLANNED, speed) == pytest.approx(training + watching + searching)


def test_a_network_that_is_there_takes_no_time():
    first = dataclasses.replace(PLANNED.steps[0], there=True)
    there = dataclasses.replace(PLANNED, steps=(first,))

    assert seconds(there, Speed(1.0, 1.0)) == 0
    assert not there.works
    assert PLANNED.works


def test_the_plan_in_words():
    assert in_words(PLANNED).splitlines() == [
        "plan for cleaned: 100 instances with 6,800 points; the 80 of split train are learnt from and corrected",
        "  i00  detector: train on human labels, 2,000 images seen",
        "  i01  labels: search with consensus; detector: train on, at most 4,000 images seen",
        "  i02  labels: search with align; detector: stays as it is",
    ]
    steps = tuple(dataclasses.replace(step, there=True) for step in PLANNED.steps)
    assert in_words(dataclasses.replace(PLANNED, steps=steps)).count("is there") == 3


@pytest.mark.parametrize(
    ("time", "says"),
    [
        (0.2, "10 seconds"), (44, "40 seconds"), (89, "90 seconds"), (100, "2 minutes"), (3600, "60 minutes"),
        (2 * 3600 + 900, "2 hours"), (72 * 3600, "3 days"),
    ],
)  # fmt: skip
def test_times_are_no_finer_than_they_are_known(time, says):
    assert about(time) == f"about {says}"


def test_budgets_are_those_that_training_may_take(rendered, params, done, tmp_path):
    paths = Workspace(tmp_path)
    write_annotations(read_annotations(done.annotations("i00")), paths.annotations("i00"))
    schedule = {"i01": {"images": 40}, "i02": {"images": 10**6}}
    settings = [f"refine.schedule.{name}.images={row['images']}" for name, row in schedule.items()]
    bold = load_params(profile_path("default"), [*SETTINGS, "training.images=24", "training.epochs=5", *settings])

    steps = planned(bold, rendered, paths).steps

    assert [step.images for step in steps] == [24, 40, 120]  # 12 instances: 2 passes, 40 images, three times as many
    assert not any(step.there for step in steps)


def test_what_was_done_is_there_and_what_is_asked_for_otherwise_is_not(rendered, params, done):
    assert [step.there for step in planned(params, rendered, done).steps] == [True, True, True]

    def there(*settings):
        other = load_params(profile_path("default"), [*SETTINGS, *settings])
        return [step.there for step in planned(other, rendered, done).steps]

    assert there("training.seed=1") == [False, False, False]
    assert there("refine.schedule.i01.learning_rate=2.0e-3") == [True, False, False]
    assert there("refine.schedule.i02.images=24") == [True, True, False]
    assert there("refiners.align.prior_weight=0.2") == [True, False, False]
    assert there("alternation.teach=refined") == [True, False, False]


def test_a_network_that_was_lost_is_counted_again(rendered, params, done, tmp_path):
    paths = Workspace(shutil.copytree(done.root, tmp_path / "out"))
    remove(paths.model("i01"))

    assert [step.there for step in planned(params, rendered, paths).steps] == [True, False, False]


def test_the_speed_is_measured_and_leaves_nothing_behind(rendered, params, human, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    speed = speed_of(params, human, rendered / "faces")

    assert 0 < speed.training < 10
    assert 0 < speed.predicting < 10
    assert list(tmp_path.iterdir()) == []
