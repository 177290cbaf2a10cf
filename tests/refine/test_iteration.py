"""One round of the alternation: what is taught, when it stops, what a stopped one leaves behind."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lmk.config import Iteration
from lmk.history import ledger
from lmk.limits import COUNT
from lmk.models.store import WEIGHTS, model_digest
from lmk.refine.consensus import ConsensusParams
from lmk.refine.iteration import Method, doubtful, next_training, run_iteration
from lmk.store import digest_of, read_annotations, remove, write_annotations
from lmk.training.fit import fit
from lmk.training.held_out import unlearnt
from lmk.training.recipe import Job, Recipe
from lmk.workspace import Workspace


@pytest.fixture
def run(rendered, human, small, tmp_path):
    """A workspace with a trained baseline, and a function that runs an iteration in it."""
    paths = Workspace(tmp_path)
    write_annotations(human, paths.annotations("i00"))
    job = Job(paths.annotations("i00"), rendered / "faces", paths.model("i00"), paths.work, "baseline")
    fit(Recipe(small.model, small.training, small.augmentation), job)

    def go(number, refiner="consensus", images=16, **changes):
        name = f"i{number:02d}"
        iteration = Iteration(prev=f"i{number - 1:02d}", refiner=refiner, images=images, learning_rate=1e-3)
        refiners = {"consensus": ConsensusParams(kind="consensus", views=4, mirror=True), **small.refiners}
        alternation = small.alternation.changed(**changes)
        method = Method(
            small.model, small.training, small.augmentation, refiners[refiner], alternation, small.validation
        )
        run_iteration(name, iteration, rendered / "faces", method, paths)
        return read_annotations(paths.annotations(name)), paths

    return go


def taught(paths, name):
    return json.loads((paths.model(name) / "config.json").read_text())["provenance"]


def test_a_network_learns_human_labels_without_those_that_are_doubtful(run):
    refined, paths = run(1, teach="human")

    learnt = taught(paths, "i01")
    assert learnt["labels"] == digest_of(paths.annotations("i00"))
    assert learnt["left_out"] == digest_of(np.flatnonzero(doubtful(refined)).tolist())


def test_the_papers_alternation_teaches_what_it_found(run):
    _, paths = run(1, refiner="align", teach="refined")

    learnt = taught(paths, "i01")
    assert learnt["labels"] == digest_of(paths.annotations("i01"))
    assert learnt["left_out"] is None


def test_a_worse_network_stops_the_alternation_and_the_labels_are_repeated(run):
    first, paths = run(1)
    assert first.provenance["stopped"] is None
    assert np.isnan(first.column("repeats")).all()
    # As if the network of i00 had agreed with the humans to the last pixel.
    write_annotations(replace(first, provenance={**first.provenance, "disagreement": 1e-3}), paths.annotations("i01"))

    second, _ = run(2)
    third, _ = run(3)

    for later in (second, third):
        np.testing.assert_array_equal(later.points, first.points)
        assert (later.column("repeats") == 1).all()
        np.testing.assert_array_equal(later.column("suspicion"), first.column("suspicion"))
        assert "i01 was kept" in later.provenance["stopped"]
        assert later.provenance["memorised"] == first.provenance["memorised"]  # of the network whose labels these are
    assert set(third.instances["iteration"]) == {3}
    assert model_digest(paths.model("i03")) == model_digest(paths.model("i01"))


def test_without_the_rule_it_goes_on(run, every_peak_counts):
    first, paths = run(1)
    write_annotations(replace(first, provenance={**first.provenance, "disagreement": 1e-3}), paths.annotations("i01"))

    second, _ = run(2, stop=False)

    assert second.provenance["stopped"] is None
    assert (np.nan_to_num(second.points) != np.nan_to_num(first.points)).any()


def test_no_budget_after_a_search_keeps_the_network_and_the_next_training_goes_on_from_it(run, small, human):
    _, paths = run(1, images=0)

    for file in (WEIGHTS, "config.json", "curve.csv"):
        assert (paths.model("i00") / file).read_bytes() == (paths.model("i01") / file).read_bytes()
    refined, _ = run(2, images=10_000, stop=False)
    # As many passes as after the baseline's, not as after a training of no images.
    seen = pd.read_csv(paths.model("i00") / "curve.csv")["images"].max() / human.in_split("train").sum()
    iteration = Iteration(prev="i01", refiner="consensus", images=10_000, learning_rate=1e-3)
    epochs = taught(paths, "i02")["parameters"]["training"]["epochs"]
    assert epochs == next_training(small.training, iteration, seen, refined.provenance["memorised"]).epochs
    unlearnt(paths.model("i02"), human)  # what it was trained with is understood


@pytest.mark.parametrize(
    ("before", "memorised", "epochs"),
    [
        (20.0, 0.0, 60),  # at most three times as many as before
        (20.0, 0.04, 25),
        (20.0, 0.05, 20),
        (20.0, 0.5, 20),  # at least half of what section training says
        (100.0, 0.02, 160),  # at most four times that
        (100.0, 0.1, 50),
        (0.0, 0.01, 20),  # nothing was trained before
    ],
)
def test_a_network_that_has_memorised_much_sees_each_image_less_often(small, before, memorised, epochs):
    iteration = Iteration(prev="i00", refiner="consensus", images=1000, learning_rate=1e-3)
    training = small.training.changed(epochs=40, memorised=0.05)

    budget = next_training(training, iteration, before, memorised)

    assert budget.epochs == epochs
    assert budget.images == 1000


def test_as_many_passes_as_may_be_stay_as_many(small):
    iteration = Iteration(prev="i00", refiner="consensus", images=1000, learning_rate=1e-3)

    assert next_training(small.training.changed(epochs=COUNT), iteration, 2.0 * COUNT, 0.01).epochs == COUNT


def test_the_next_training_starts_from_how_often_the_last_one_saw_each_image(run, human, small):
    refined, paths = run(1, images=24)
    seen = pd.read_csv(paths.model("i00") / "curve.csv")["images"].max() / human.in_split("train").sum()
    iteration = Iteration(prev="i00", refiner="consensus", images=24, learning_rate=1e-3)

    epochs = taught(paths, "i01")["parameters"]["training"]["epochs"]

    assert epochs == next_training(small.training, iteration, seen, refined.provenance["memorised"]).epochs


def decide(paths, iteration, source, landmarks, action="accept"):
    """Decide on some landmarks of all images of train, as a set has them."""
    table = source.frame.query("landmark in @landmarks and split == 'train'")
    rows = table[["image", "instance", "landmark", "x", "y"]].assign(action=action, decided_by="me", why=None)
    ledger.record(paths.decisions, iteration, rows)


def test_a_decided_point_stays_where_it_was_decided_to_be_and_is_what_is_taught(run, every_peak_counts):
    first, paths = run(1)
    human = read_annotations(paths.annotations("i00"))
    decide(paths, "i01", first, [3, 40])
    decide(paths, "i00", human, [8], "revert")
    before = paths.annotations("i01").read_bytes()

    second, _ = run(2, stop=False)

    train = human.in_split("train")
    np.testing.assert_array_equal(second.points[:, [3, 40]], first.points[:, [3, 40]])
    np.testing.assert_array_equal(second.points[:, 8], human.points[:, 8])
    assert (second.column("suspicion")[train][:, [3, 8, 40]] == 0).all()
    assert (second.points[train][:, 10] != human.points[train][:, 10]).any()
    learnt = read_annotations(paths.work / "observed" / "i02.parquet")
    assert taught(paths, "i02")["labels"] == digest_of(paths.work / "observed" / "i02.parquet")
    np.testing.assert_array_equal(learnt.points[:, [3, 40]], first.points[:, [3, 40]])
    np.testing.assert_array_equal(learnt.points[:, 5], human.points[:, 5])
    assert paths.annotations("i01").read_bytes() == before


def test_a_decision_holds_when_the_alternation_has_stopped_and_with_the_papers_search(run, every_peak_counts):
    first, paths = run(1)
    stopped = {**first.provenance, "stopped": "i01 was kept"}
    write_annotations(replace(first, provenance=stopped), paths.annotations("i01"))
    decide(paths, "i01", read_annotations(paths.annotations("i00")), [20], "revert")

    repeated, _ = run(2)
    searched, _ = run(2, refiner="align", stop=False)

    human = read_annotations(paths.annotations("i00"))
    for labels in (repeated, searched):
        np.testing.assert_array_equal(labels.points[:, 20], human.points[:, 20])
        assert labels.provenance["decisions"]
    np.testing.assert_array_equal(repeated.points[:, 21], first.points[:, 21])


def test_decisions_on_an_iteration_and_later_ones_do_not_reach_it(run, human):
    first, paths = run(1)
    decide(paths, "i01", human, range(68), "revert")
    decide(paths, "i02", human, range(68), "revert")

    again, _ = run(1)

    np.testing.assert_array_equal(again.points, first.points)
    assert "decisions" not in again.provenance


def test_labels_are_taken_for_those_of_a_search_only_with_the_same_decisions(run, every_peak_counts, monkeypatch):
    first, paths = run(1)
    decide(paths, "i00", read_annotations(paths.annotations("i00")), [8], "revert")
    decided, _ = run(1)
    remove(paths.decisions)
    undone, _ = run(1)

    assert "decisions" in decided.provenance
    assert "decisions" not in undone.provenance
    np.testing.assert_array_equal(undone.points, first.points)
    monkeypatch.setattr("lmk.refine.iteration.search_labels", None)
    run(1)  # the very same search is not done again
