"""Benchmarks start: what nobody runs for a month must not be broken when somebody does."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bench.downstream import page as downstream_page
from bench.label_truth.data import BENCHES, make, read_truth, with_shared_habit
from bench.label_truth.measures import average_precision, single_ceiling
from bench.label_truth.page import write_page
from bench.label_truth.rivals import shape_projection
from lmk.annotations import AnnotationSet, make_set
from lmk.errors import DataError
from lmk.evaluation import is_gross, normalisers
from lmk.ingest import ingest
from lmk.scheme import load_scheme, parse_scheme
from tests.conftest import ROOT


def test_the_training_bench_measures_all_its_rivals():
    command = [sys.executable, "bench/training_speed.py", "--rounds", "1", "--steps", "1"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    found = json.loads(done.stdout)
    assert found["images_per_second"].keys() == {"autograd", "own gradient", "kept memory", "both"}
    assert all(value > 0 for value in found["images_per_second"].values())


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
    flat = slipped.reshape(-1, 2)
    moved = AnnotationSet(human.table.assign(x=flat[:, 0], y=flat[:, 1]), human.scheme, {})
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
    cells += [cell("ours", seed, 4.0, 1.2, last) for seed, last in ((1, 0.9), (2, 1.0), (3, 1.26))]

    write_page(cells, tmp_path)

    page = (tmp_path / "label_truth.md").read_text()
    assert "| **ours** (`lmk clean`, defaults) | 1.000 | -75.0 % | - | 0.50 % | 60 |" in page
    assert "+5.00 % at most" in page
    assert "took 0.5 minutes on two cores" in page
    assert "Asked: -75 %; found: -75.0 %" in page
    assert json.loads((tmp_path / "label_truth.json").read_text())["A"]["ours"]["each"] == [0.9, 1.0, 1.26]
    assert (tmp_path / "images" / "label_truth_A.svg").read_text().count("<rect") == 3


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


def downstream_cells(noise, human, true, refined):
    """Two seeds of one network, 300 faces each, with errors that scatter a little."""
    random = np.random.default_rng(0)
    shared = random.gamma(4, 0.25, (2, 300))
    return [
        {
            "noise": noise, "count": 500, "model": "hourglass", "labels": labels, "seed": seed, "profile": "p",
            "errors": {name: (level * shared[seed]).round(3).tolist() for name in ("truth", "human")},
        }
        for labels, level in (("human", human), ("true", true), ("refined", refined))
        for seed in range(2)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((4.0, 2.0, 2.8), "cleaning pays"),
        ((4.0, 3.4, 3.65), "cleaning pays"),
        ((4.0, 2.0, 3.6), "cleaning pays, by less than half of what there is to win"),
        ((4.0, 3.0, 4.0), "only more annotators help"),
        ((4.0, 3.9, 4.0), "the network averages the noise by itself"),
        ((4.0, 3.9, 4.4), "cleaning harms"),
        ((4.0, 2.0, 4.4), "cleaning harms"),
    ],
)
def test_the_map_says_where_cleaning_pays(levels, said, tmp_path):
    cells = downstream_cells("double", *levels)

    [row] = downstream_page.compared(cells, "truth")
    downstream_page.write_page(cells, tmp_path)

    human, true, refined = levels
    assert row["gap"][0] == pytest.approx(100 * (human - true) / human, abs=0.2)
    assert row["gain"][0] == pytest.approx(100 * (human - refined) / human, abs=0.2)
    assert row["gain"][1] <= row["gain"][0] <= row["gain"][2]
    assert row["closed"] == pytest.approx(100 * (human - refined) / (human - true), abs=3)
    assert row["verdict"] == said
    text = (tmp_path / "downstream.md").read_text()
    assert f"- **{said}**" in text
    assert ": hourglass double 500*\n" in text  # two seeds
    won, much = row["gain"][0] >= row["gap"][0] / 2, row["gap"][0] > 5
    sure = f"in {1 if much else 0} fields; refined ones save at least half of that in {1 if much and won else 0}"
    assert sure in text
    assert f">{downstream_page.SHORT[said]}*<" in (tmp_path / "images" / "downstream.svg").read_text()


def test_seeds_that_disagree_make_a_wide_interval():
    cells = [
        {**cell, "errors": {name: [2 * value for value in each] for name, each in cell["errors"].items()}}
        if (cell["labels"], cell["seed"]) == ("refined", 1) else cell
        for cell in downstream_cells("double", 4.0, 2.0, 2.5)
    ]  # fmt: skip

    [row] = downstream_page.compared(cells, "truth")

    gain, low, high = row["gain"]
    assert low < -20 < gain < 35 < high  # one seed gains 37 %, the other loses 25 %
    assert [low, high] == pytest.approx(gain + np.array([-1, 1]) * 12.706 * 62.5 / 2, rel=0.02)  # Student's t
    assert row["verdict"] == "not certain"


def test_few_seeds_are_taken_to_scatter_as_seeds_of_the_same_network_do():
    random = np.random.default_rng(1)

    def cells(count, seeds, spread=0.1):
        shared = random.gamma(4, 0.25, (seeds, 300))
        lost = 1 + spread * np.arange(seeds)
        return [
            {"noise": "double", "count": count, "model": "hourglass", "labels": labels, "seed": seed,
             "errors": {"truth": (level * shared[seed] * (lost[seed] if labels == "refined" else 1)).tolist()}}
            for labels, level in (("human", 4.0), ("true", 2.0), ("refined", 2.5))
            for seed in range(seeds)
        ]  # fmt: skip

    made = [*cells(200, 1), *cells(500, 3), *cells(1200, 2, spread=0.3)]

    rows = {(row["model"], row["count"]): row for row in downstream_page.compared(made, "truth")}

    # Of three seeds 37.5, 31.25 and 25 %, of two 37.5 and 18.75 %: (39.0625 * 2 + 18.75**2 / 2) / 3 degrees of freedom.
    deviation = np.sqrt((39.0625 * 2 + 18.75**2 / 2) / 3)
    gain, low, high = rows["hourglass", 200]["gain"]
    assert [gain, low, high] == pytest.approx([37.5, 37.5 - 3.1824 * deviation, 37.5 + 3.1824 * deviation], abs=0.02)
    gain, low, high = rows["hourglass", 500]["gain"]
    assert [gain, high - low] == pytest.approx([31.25, 2 * 4.3027 * 6.25 / np.sqrt(3)], abs=0.02)
    gain, low, high = rows["hourglass", 1200]["gain"]
    assert [gain, high - low] == pytest.approx([28.125, 2 * 3.1824 * deviation / np.sqrt(2)], abs=0.02)


def test_where_nothing_is_known_of_seeds_the_interval_is_that_of_the_faces():
    random = np.random.default_rng(2)
    human = random.gamma(4, 1, 300)
    refined = 0.75 * human * random.uniform(0.7, 1.3, 300)  # near enough for what is linear below
    cells = [
        {"noise": "half", "count": 200, "model": "resnet", "labels": labels, "seed": 1,
         "errors": {"truth": errors.tolist()}}
        for labels, errors in (("human", human), ("true", refined), ("refined", refined))
    ]  # fmt: skip

    [row] = downstream_page.compared(cells, "truth")

    ratio = refined.mean() / human.mean()
    error = 100 * np.std(refined - ratio * human, ddof=1) / np.sqrt(300) / human.mean()  # of a ratio of means
    gain, low, high = row["gain"]
    assert gain == pytest.approx(100 * (1 - ratio), abs=0.01)
    assert [low, high] == pytest.approx([gain - 1.96 * error, gain + 1.96 * error], abs=0.15 * error)


@pytest.mark.parametrize(
    ("module", "options", "said"),
    [
        ("downstream", ["--work", "x", "--model", "resnet", "--labels", "star"], "no such cells"),
        ("downstream", ["--seed", "11"], "with --work"),
        ("ablations", ["--work", "x", "--experiment", "lambda", "--variant", "0.2"], "there are: 0, 0.01"),
        ("ablations", ["--seed", "11"], "with --work"),
    ],
)
def test_a_bench_says_that_there_is_nothing_to_do(module, options, said, monkeypatch, capsys):
    import bench.ablations.__main__ as ablations
    import bench.downstream.__main__ as downstream

    monkeypatch.setattr(sys, "argv", ["bench", *options])
    with pytest.raises(SystemExit, match="2"):
        {"downstream": downstream, "ablations": ablations}[module].main()
    assert said in capsys.readouterr().err


def test_a_row_without_all_three_labels_is_not_shown(tmp_path):
    assert downstream_page.compared(downstream_cells("double", 4, 2, 3)[:4], "truth") == []


@pytest.fixture
def tiny(monkeypatch, small):
    """The benches at a size of seconds."""
    import bench.ablations.__main__ as ablations
    import bench.ablations.runs as runs
    import bench.downstream.__main__ as downstream
    import bench.downstream.data as data

    for module in (data, downstream, runs):
        monkeypatch.setattr(module, "COUNTS", (10,))
        monkeypatch.setattr(module, "TESTED", 4)
    for module in (downstream, runs):
        monkeypatch.setattr(module, "load_params", lambda *_: small)
    monkeypatch.setattr(data, "SIDE", 64)
    monkeypatch.setattr(downstream, "IMAGES", 16)
    monkeypatch.setattr(runs, "LEARNT", 20)
    for module in (runs, ablations):
        monkeypatch.setattr(module, "COUNT", 10)
    monkeypatch.setattr(runs, "ROUNDS", 2)
    monkeypatch.setattr(runs, "EPOCH", 10)


def test_a_cell_of_the_downstream_bench_is_a_network_and_its_errors(tiny, tmp_path, every_peak_counts):
    from bench.downstream.__main__ import make_cell

    for labels in ("refined", "true"):
        cell = make_cell("default", 10, "resnet", labels, 3, tmp_path)
        assert len(cell["errors"]["truth"]) == 4
        assert np.isfinite(cell["errors"]["truth"]).all()
        assert cell["errors"]["truth"] != cell["errors"]["human"]


def test_the_ablations_run_and_their_page_has_every_table(tiny, small, tmp_path, every_peak_counts, monkeypatch):
    from bench.ablations import __main__ as ablations
    from bench.ablations import runs
    from bench.ablations.page import write_page as write_ablations
    from bench.downstream import __main__ as downstream

    cells, rounds, run = [], [], runs.run_iteration

    def noted(name, iteration, images, model, training, *rest):
        rounds.append(
            (training.seed, iteration.images, iteration.learning_rate, iteration.refiner, rest[1].observation)
        )
        run(name, iteration, images, model, training, *rest)

    monkeypatch.setattr(runs, "run_iteration", noted)
    for experiment, variant in (
        ("update", "baseline"), ("update", "updated"), ("update", "true"), ("update", "not updated"), ("stop", "1"),
    ):  # fmt: skip
        cell = ablations.make_cell(experiment, variant, 3, tmp_path)
        assert len(cell["errors"]) == 3
        assert all(np.isfinite(list(errors.values())).all() for errors in cell["errors"])
        cells.append(cell)
    assert cells[0]["labels"][2]["mean"] == cells[0]["labels"][0]["mean"] > 1 > cells[2]["labels"][0]["mean"]
    updated, human_again, stopped = (cells[number]["labels"] for number in (1, 3, 4))
    assert updated[1] == human_again[1] == stopped[1] == stopped[2]
    assert [(refiner, observation) for *_, refiner, observation in rounds] == [
        ("keep", "updated"), ("keep", "updated"), ("align", "updated"), ("align", "updated"), ("keep", "updated"),
        ("keep", "updated"), ("align", "human"), ("align", "human"), ("align", "updated"), ("keep", "updated"),
    ]  # fmt: skip
    assert len({seed for seed, *_ in rounds}) == 2  # of the two rounds, the same for all
    assert {(images, rate) for _, images, rate, *_ in rounds} == {(10, small.training.learning_rate / 100)}
    searched = [
        ablations.make_cell(*place, 3, tmp_path) for place in (("lambda", "0"), ("lambda", "0.1"), ("template", "1"))
    ]
    assert (
        len({cell["labels"]["mean"] for cell in searched}) == len({cell["errors"]["truth"] for cell in searched}) == 3
    )
    assert searched[0]["labels"] == cells[0]["labels"][0]  # nothing is searched
    monkeypatch.setattr(downstream, "RESULTS", tmp_path)
    variants = ("human none", "refined pca", "human ghcu", "human ghcu clear", "human none coarsely")
    corrected = {variant: ablations.make_cell("correction", variant, 3, tmp_path) for variant in variants}
    assert (tmp_path / "downstream" / "default_10_hourglass_refined_3.json").is_file()
    found = {variant: cell["by_images"] for variant, cell in corrected.items()}
    for same, other in (("human ghcu", "human ghcu clear"), ("human none", "human none coarsely")):
        assert found[same] != found[other]  # what was seen made a difference
    assert len({errors["truth"] for errors in found["refined pca"].values()}) == 3
    assert corrected["refined pca"]["milliseconds"] > 0
    cells += [*searched, *corrected.values()]

    write_ablations(cells, tmp_path)

    text = (tmp_path / "ablations.md").read_text()
    assert text.count("Not run yet") == 0
    for chart in ("error", "loss", "stop", "search"):
        assert "<svg" in (tmp_path / "images" / f"ablations_{chart}.svg").read_text()


def test_faces_of_another_version_are_not_taken_for_those_of_this_one(tiny, tmp_path):
    from bench.downstream.data import render

    pool = render("default", 3, tmp_path, lambda *_: None)
    drawn = (pool / "faces" / "000000.pts").read_bytes()
    assert render("default", 3, tmp_path, lambda *_: None) == pool
    assert (pool / "faces" / "000000.pts").read_bytes() == drawn

    (pool / "faces" / "000000.pts").write_bytes(drawn.replace(b"1", b"2"))
    with pytest.raises(DataError, match="another version"):
        render("default", 3, tmp_path, lambda *_: None)


def test_each_row_of_the_ablations_page_is_made_of_its_own_cells(tmp_path):
    from bench.ablations.page import write_page as write_ablations

    def measured(value):
        return {"truth": value, "human": value + 0.5, "mean": value, "bias": value, "shorter": value, "size": value}

    cells = [
        {"experiment": experiment, "variant": variant, "seed": seed,
         "labels": measured(value + seed), "errors": measured(value + seed)}
        for experiment, values in (
            ("lambda", {"0": 30, "0.01": 40, "0.05": 50, "0.1": 29, "0.3": 60, "0.5": 70, "1.0": 80}),
            ("template", {"1": 90, "11": 20, "25": 95}),
        )
        for variant, value in values.items()
        for seed in (1, 2, 4)
    ]  # fmt: skip
    cells += [{**cells[0], "seed": 5}]  # a seed for which nothing else was run
    cells += [
        {"experiment": experiment, "variant": variant, "seed": 11, "loss": [1.0, 2.0],
         "labels": [measured(value + epoch) for epoch in range(3)],
         "errors": [measured(value + epoch) for epoch in range(3)]}
        for experiment, values in (
            ("update", {"baseline": 10, "not updated": 20, "updated": 30, "consensus": 40, "true": 50}),
            ("stop", {"2": 110, "4": 120, "6": 130, "8": 140}),
        )
        for variant, value in values.items()
    ]  # fmt: skip
    cells += [
        {"experiment": "correction", "variant": variant, "seed": seed, "milliseconds": 0.25,
         "by_images": {how: measured(value + number) for number, how in enumerate(("clean", "occluded", "coarse"))}}
        for variant, value, seed in (
            ("human none", 0.5, 7), ("human pca", 1, 7), ("human pca", 3, 8), ("refined ghcu", 5, 7),
        )
    ]  # fmt: skip

    write_ablations(cells, tmp_path)

    text = (tmp_path / "ablations.md").read_text()
    for row in (
        "| 0 (not searched) | 32.000 | 32.000 | 32.500 | 4.99 |",
        "| 0.1 | 31.000 | 31.000 | 31.500 | 4.37 |",
        "| 1.0 | 82.000 | 82.000 | 82.500 | 4.68 |",
        "| 7 (as 1) | 92.000 | 92.000 | 92.500 | 4.72 |",
        "| 15 (as 11) | 22.000 | 22.000 | 22.500 | 4.53 |",
        "| 19 | 31.000 | 31.000 | 31.500 | 4.37 |",  # the row of lambda 0.1
        "| consensus | 40.000 | 41.000 | 42.000 | 40.000 | 41.000 | 42.000 | 40.000 | 41.000 | 42.000 |",
        "| 0 | 12.000 | 12.500 |",
        "| 6 | 132.000 | 132.500 |",
        "| 10 | 32.000 | 32.500 |",
        "| human | pca | 7, 8 | 2.000 | 3.000 | 4.000 | 0.2 | - |",
        "| refined | ghcu | 7 | 5.000 | 6.000 | 7.000 | 0.2 | 3.85 / 3.46 / 7.51 |",
    ):
        assert row in text, row
    assert "Seeds 1, 2, 4." in text
    assert "Lowest: 0.1 for the labels, 0.1 for our detector, 0.1 for the paper's." in text
    assert "Lowest: 11 for the labels, 11 for our detector, 19 for the paper's." in text
    assert "32 % of the squared bias" in text
    # On seed 7, which both have: 1, 2 and 3 beside 0.5, 1.5 and 2.5.
    assert "*pca* +100 % / +33 % / +20 %.  Lowest: clean: pca, occluded: pca, low resolution: pca." in text

    write_ablations([cells[0], {**cells[3], "seed": 9}], tmp_path)  # one row each of two seeds
    assert "| 0 (not searched) | 31.000 | 31.000 | 31.500 | 4.99 |" in (tmp_path / "ablations.md").read_text()


def test_labels_miss_by_what_they_were_moved_and_gross_errors_do_not_count(rendered, human):
    from bench.ablations.runs import bias, label_errors, shorter, size_of_bias

    truth = read_truth(human, rendered)
    points, unit = truth.points.copy(), normalisers(truth)["interocular"]
    for contour in ([36, 37, 38, 39, 40, 41], list(range(17))):
        points[:, contour] = 0.9 * points[:, contour] + 0.1 * points[:, contour].mean(1, keepdims=True)
    alone = replace(truth.scheme, contours=((36, 37, 38, 39, 40, 41), tuple(range(17))))
    known = AnnotationSet(truth.table, alone, {})
    assert shorter(points, known) == pytest.approx(10, abs=1e-2)
    assert size_of_bias(points, known) == 100
    points[:, 40] += unit[:, None]
    assert size_of_bias(points, known) < 60

    moved = truth.points + 0.05 * unit[:, None, None] * [0.6, 0.8]
    assert bias(moved, truth) == pytest.approx(5, abs=1e-3)
    assert shorter(moved, truth) == pytest.approx(0, abs=1e-3)
    assert size_of_bias(moved, truth) == pytest.approx(0, abs=0.1)

    gross = np.full(truth.points.shape[:2], None, object)
    gross[0] = "swapped"
    marked = AnnotationSet(truth.table.assign(gross=gross.ravel()), truth.scheme, {})
    moved[0] = moved[0, ::-1]
    found = label_errors(truth.moved(moved, 0, {}, {}), marked)
    assert found["mean"] == found["bias"] == pytest.approx(5, abs=1e-2)
    assert found["shorter"] == pytest.approx(0, abs=1e-2)


def test_the_injected_spread_is_that_of_the_noise(human, tmp_path):
    from bench.ambiguity import spread_of, write_page

    spread = spread_of(human, "default-clean", 77)
    unit = 128 / human.boxes[:, 2]  # of the bench's faces; these are half as large

    assert spread[8, 0] == pytest.approx(2.5 * np.sqrt((unit**2).mean()), rel=1e-6)
    assert spread[36, 0] == spread[36, 1] == pytest.approx(0.6 * np.sqrt((unit**2).mean()), rel=1e-6)
    names = np.repeat([f"annotator-{1 + number % 8}" for number in range(len(human.instances))], 68)
    known = AnnotationSet(human.table.assign(annotator=names), human.scheme, {})
    by_many = spread_of(known, "annotators", 77)
    assert (by_many[:17, 0] > spread[:17, 0]).all()
    np.testing.assert_allclose(by_many[:, 1], spread[:, 1])
    numbers = {"median_ratio": 1.0, "p5": 0.9, "p95": 1.1, "within_15": 100.0, "covered": 95.0}
    write_page([{"noise": "double", "faces": 5, "seed": 1, "along": numbers, "across": numbers}], tmp_path)
    assert "| double |" in (tmp_path / "ambiguity.md").read_text()
    assert "double 5, seed 1" in (tmp_path / "images" / "ambiguity.svg").read_text()
