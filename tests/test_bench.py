"""Benchmarks start: what nobody runs for a month must not be broken when somebody does."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bench.label_truth.data import BENCHES, make, read_truth, with_shared_habit
from bench.label_truth.measures import average_precision, single_ceiling
from bench.label_truth.page import write_page
from bench.label_truth.rivals import shape_projection
from lmk.annotations import make_set
from lmk.config import default_profile, load_params
from lmk.evaluation import is_gross
from lmk.ingest import ingest
from lmk.scheme import load_scheme, parse_scheme
from tests.conftest import ROOT


def test_the_training_bench_measures_all_its_rivals():
    command = [sys.executable, "bench/training_speed.py", "--rounds", "1", "--steps", "1"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    found = json.loads(done.stdout)
    assert found["images_per_second"].keys() == {"autograd", "own gradient", "kept memory", "both"}
    assert all(value > 0 for value in found["images_per_second"].values())


@pytest.mark.parametrize("own_gradient", [False, True])
def test_the_rival_of_the_training_bench_trains_with_the_plain_loss(own_gradient, monkeypatch):
    from bench import training_speed
    from lmk.models import hourglass

    calls, plain = [], training_speed.plain_cross_entropy
    monkeypatch.setitem(hourglass.LOSSES, "cross_entropy", hourglass.LOSSES["cross_entropy"])
    monkeypatch.setattr(training_speed, "plain_cross_entropy", lambda *given: calls.append(1) or plain(*given))

    assert training_speed.measure(own_gradient, kept_memory=False, steps=1) > 0

    assert len(calls) == (0 if own_gradient else 4)  # three steps to warm up


def test_the_search_bench_compares_the_same_search():
    command = [sys.executable, "bench/search.py", "--rounds", "1"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    found = json.loads(done.stdout)
    assert found["same_positions"]
    assert found["chi2_error_of_sum_E"] < 1e-4
    assert found["megabytes"] < 2


def test_the_audit_bench_measures_time_and_memory():
    command = [sys.executable, "-m", "bench.audit", "--points", "420000", "--iterations", "3"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    found = json.loads(done.stdout)
    assert found["points"] == pytest.approx(420000, rel=0.01)
    assert found["again"]["seconds"] < found["first"]["seconds"]
    assert 0 < found["first"]["gib"] < 2


def test_average_precision_is_the_mean_of_the_precisions_at_each_hit():
    random = np.random.default_rng(0)
    score, wanted = random.permutation(200) / 200, random.random(200) < 0.1

    at = [score >= limit for limit in score[wanted]]
    slow = np.mean([wanted[taken].mean() for taken in at])

    assert average_precision(score, wanted) == pytest.approx(slow)
    assert average_precision(np.zeros(200), wanted) == pytest.approx(wanted.mean())  # no order is no knowledge


def test_the_ceiling_separates_a_slip_from_noise_as_far_as_that_can_be(human, rendered):
    truth = read_truth(human, rendered)

    score = single_ceiling(human, truth, "default")
    slipped = human.points.copy()
    slipped[:, 8] = slipped[:, 9]
    moved = human.with_columns(x=slipped[..., 0], y=slipped[..., 1])
    again = single_ceiling(moved, truth, "default")

    clean = ~is_gross(truth)
    assert np.median(again[:, 8]) > np.quantile(score[clean], 0.9)
    np.testing.assert_array_equal(np.delete(again, 8, axis=1), np.delete(score, 8, axis=1))


def test_projecting_on_the_shape_space_keeps_turned_copies_and_calms_noise():
    random = np.random.default_rng(0)
    shape = random.normal(0, 10, (30, 2))
    turns, sizes = random.uniform(-0.5, 0.5, 40), random.uniform(0.5, 2, 40)
    spun = np.stack([[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in turns])
    exact = sizes[:, None, None] * shape @ spun + random.normal(0, 50, (40, 1, 2))
    noisy = exact + random.normal(0, 0.3, exact.shape)

    def projected(points):
        flat = points.reshape(-1, 2)
        table = pd.DataFrame({"image": np.repeat([f"{i:02d}" for i in range(40)], 30), "instance": 0})
        table = table.assign(landmark=np.tile(np.arange(30), 40), x=flat[:, 0], y=flat[:, 1])
        return shape_projection(make_set(table, parse_scheme('{"name": "s", "points": 30}', "s"), {}, "test"))

    np.testing.assert_allclose(projected(exact), exact, atol=1e-8)
    assert np.abs(projected(noisy) - exact).mean() < np.abs(noisy - exact).mean()


def test_the_page_says_what_the_cells_say(tmp_path):
    def cell(rival, seed, *errors):
        steps = [{"clean": error, "gross": None} for error in errors]
        return {
            "bench": "A",
            "rival": rival,
            "seed": seed,
            "errors": steps,
            "damaged": 0.5,
            "seconds": 30.0,
            "cores": 2,
        }

    cells = [cell("human", seed, 4.0) for seed in (1, 2, 3)]
    cells += [cell("5 annotators", 1, 2.0), cell("paper once", 1, 1.5), cell("shape projection", 1, 3.9)]
    cells += [cell("ours", seed, 4.0, 1.2, last) for seed, last in ((1, 0.9), (2, 1.0), (3, 1.26))]

    write_page(cells, tmp_path)

    page = (tmp_path / "label_truth.md").read_text()
    assert "| **ours** (`lmk clean`, defaults) | 1.000 | -75.0 % | - | 0.50 % | 60 |" in page
    assert "before it: +5.00 % (target: at most +2 %)" in page
    assert "took 0.5 minutes on two idle cores" in page
    assert "Target: -75 %; found: -75.0 %" in page
    assert page.splitlines()[2] == (
        "`lmk clean` reduces the error of human labels by 75 % (dataset A) to 75 % (dataset A), medians over seeds.  "
        "The best other method that uses the same labels (the paper's search, once) has 1.50 to 1.50 times our error.  "
        "The mean of five annotators per image, five times the work, has 2.0 to 2.0 times our error."
    )
    assert (tmp_path / "images" / "label_truth_A.svg").read_text().count("<rect") == 6


def test_the_shared_habit_is_what_is_left_of_the_labels_of_annotators_when_all_fresh_noise_is_gone(tmp_path):
    bench = replace(BENCHES["A-annotators"], count=60)
    make(bench, 5, tmp_path)
    human = ingest(tmp_path / "faces", "pts", load_scheme("ibug68"), 1.25)
    truth = read_truth(human, tmp_path)

    floor = with_shared_habit(bench, human, truth, 5)

    along = truth.scheme.tangents(truth.points)
    chosen = ~is_gross(truth) & np.isfinite(along).all(-1)
    missed, shared = (((x - truth.points) * along).sum(-1) for x in (human.points, floor))
    jaw = [0, 1, 2, 3, 4, 5, 6, 7]  # on one contour, along which each annotator slides all points alike
    apart = np.mean([missed[:, k][chosen[:, k]].mean() - shared[:, k][chosen[:, k]].mean() for k in jaw])
    assert abs(np.mean([missed[:, k][chosen[:, k]].mean() for k in jaw])) > 3 * abs(apart)
    assert with_shared_habit(BENCHES["A"], human, truth, 5) is None


@pytest.mark.parametrize(
    ("module", "options", "said"),
    [
        ("downstream", ["--work", "x", "--model", "resnet", "--labels", "star"], "no such cells"),
        ("downstream", ["--seed", "11"], "with --work"),
        ("ablations", ["--work", "x", "--experiment", "lambda", "--variant", "0.2"], "there are: 0, 0.01"),
        ("ablations", ["--seed", "11"], "with --work"),
        ("label_truth", ["--seed", "11"], "with --work"),
    ],
)
def test_a_bench_says_that_there_is_nothing_to_do(module, options, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", *options])
    with pytest.raises(SystemExit, match="2"):
        importlib.import_module(f"bench.{module}.__main__").main()
    assert said in capsys.readouterr().err


def test_the_error_of_refined_labels_is_how_far_they_were_moved(rendered, human):
    from bench.ambiguity import refined_errors

    truth = read_truth(human, rendered)
    along = truth.scheme.tangents(truth.points)[:, 8]
    across = along[:, ::-1] * [-1, 1]
    there_and_back = np.where(np.arange(len(along)) % 2, 1, -1)[:, None]
    moved = truth.points.copy()
    moved[:, 8] += there_and_back * (0.03 * along + 0.04 * across) * human.boxes[:, 2:]
    moved[0, 0] += 50.0
    suspicion = np.zeros(moved.shape[:2])
    suspicion[0, 0] = 1.0  # a likely gross error says nothing
    refined = truth.with_columns(x=moved[..., 0], y=moved[..., 1], suspicion=suspicion)

    found = refined_errors(refined, truth)

    assert found[8] == pytest.approx([3.0, 4.0], rel=1e-3)
    assert np.delete(found, 8, 0) == pytest.approx(0, abs=1e-3)


def test_the_injected_spread_is_that_of_the_noise(human, tmp_path):
    from bench.ambiguity import recipe, spread_of, write_page
    from bench.cells import profile

    spread = spread_of(human, "default-clean", 77)
    unit = 128 / human.boxes[:, 2]  # of the bench's faces; these are half as large

    assert spread[8, 0] == pytest.approx(2.5 * np.sqrt((unit**2).mean()), rel=1e-6)
    assert spread[36, 0] == spread[36, 1] == pytest.approx(0.6 * np.sqrt((unit**2).mean()), rel=1e-6)
    names = np.array([f"annotator-{1 + number % 8}" for number in range(len(human.instances))], object)
    known = human.with_columns(annotator=names)
    by_many = spread_of(known, "annotators", 77)
    assert (by_many[:17, 0] > spread[:17, 0]).all()
    np.testing.assert_allclose(by_many[:, 1], spread[:, 1])
    numbers = {"median_ratio": 1.0, "p5": 0.9, "p95": 1.1, "within_15": 100.0, "covered": 95.0}
    made = {"noise": "double", "faces": 5, "along": numbers, "across": {**numbers, "refined_error": 0.25}}
    here = {"profile": profile(), "recipe": recipe()}
    write_page([{**made, "seed": 1, **here}, {**made, "seed": 2, **here, "recipe": "other intervals"}], tmp_path)
    assert [line[line.index("100 %") :] for line in (tmp_path / "ambiguity.md").read_text().splitlines()[-4:]] == [
        "100 % | 95 % | - |", "100 % | 95 % | 0.25 |", "100 % | - | - |", "100 % | - | 0.25 |",
    ]  # fmt: skip
    assert (tmp_path / "ambiguity.md").read_text().splitlines()[2] == (
        "`lmk ambiguity` estimates the standard deviation of annotators per landmark: relative to the injected one, "
        "the median over landmarks is 1.00 to 1.00, depending on the dataset.  On average 100 % of the landmarks are "
        "within 15 % of the injected value, and at worst 100 % (double noise, seed 1, along contours).  The 95 % "
        "intervals contain the injected value for 95 % of the landmarks on average, and for 95 % in the worst dataset."
    )
    assert "double 5, seed 1" in (tmp_path / "images" / "ambiguity.svg").read_text()


def test_the_memory_bench_measures_the_search_and_the_consensus_of_a_simulated_set():
    command = [sys.executable, "-m", "bench.memory", "--instances", "60"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["what"], one["instances"]) for one in found] == [("align", 60), ("consensus", 60)]
    assert all(0 < one["before_mib"] <= one["peak_mib"] < 4096 and one["seconds"] > 0 for one in found)


def test_the_stand_in_detector_finds_the_simulated_shapes_in_every_view():
    from bench import memory
    from lmk.inference import predict_views

    scheme, coefficients = load_scheme("ibug68"), memory.draw_coefficients(24)
    human, detector = memory.simulated(coefficients, scheme), memory.StandIn(scheme)
    crops, true = memory.DrawnCrops(coefficients), memory.true_points(coefficients)

    views = predict_views(detector, human, crops, 8)

    assert np.isfinite(views).all()
    away, human_away = (np.linalg.norm(points - true, axis=-1) for points in (views, human.points))
    expected = (memory.ERROR**2 + memory.WOBBLE**2) ** 0.5 * memory.SIDE / 2  # of points of a box
    assert np.sqrt((away**2).mean((1, 2))) == pytest.approx([expected] * 8, rel=0.5)
    assert np.median(human_away) > 2 * np.median(np.linalg.norm(views.std(0), axis=-1)) > 0
    chosen = np.arange(24) % 5 == 0
    np.testing.assert_array_equal(crops.select(chosen).read(np.arange(2)), crops.read(np.flatnonzero(chosen)[:2]))


def test_both_refiners_bring_simulated_labels_nearer_to_the_simulated_truth():
    from bench import memory

    params = load_params(default_profile(), ["data.scheme=ibug68"])
    coefficients = memory.draw_coefficients(60)
    human, true = memory.simulated(coefficients, load_scheme("ibug68")), memory.true_points(coefficients)

    for refiner in memory.REFINERS:
        refined = memory.refined(human, coefficients, refiner, params)
        away, before = (np.median(np.linalg.norm(one.points - true, axis=-1)) for one in (refined, human))
        assert away < 0.8 * before, refiner
