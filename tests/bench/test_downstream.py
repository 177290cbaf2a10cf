"""When cleaning pays: intervals, verdicts, the map, and the cells that they are made of."""

from __future__ import annotations

import numpy as np
import pytest

from bench.downstream import page as downstream_page
from bench.downstream.comparison import compared
from lmk.errors import DataError


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
        ((4.0, 2.0, 3.6), "cleaning pays in part"),
        ((4.0, 3.0, 4.0), "only more annotators help"),
        ((4.0, 3.9, 4.0), "the network averages out the noise"),
        ((4.0, 3.9, 4.4), "cleaning harms"),
        ((4.0, 2.0, 4.4), "cleaning harms"),
    ],
)
def test_the_map_says_where_cleaning_pays(levels, said, tmp_path):
    cells = downstream_cells("double", *levels)

    [row] = compared(cells, "truth")
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
    counted = f"in {int(much)} combinations.  The gain is at least half of it in {int(much and won)} of these."
    assert counted in text
    assert f"have a {row['gain'][0]:.1f} % lower test error" in text.splitlines()[2]
    low, high = row["gain"][1:]
    assert f"above zero in {int(low > 0)} combinations and below zero in {int(high < 0)}." in text.splitlines()[2]
    assert f">{downstream_page.SHORT[said]}*<" in (tmp_path / "images" / "downstream.svg").read_text()


def test_seeds_that_disagree_make_a_wide_interval():
    cells = [
        {**cell, "errors": {name: [2 * value for value in each] for name, each in cell["errors"].items()}}
        if (cell["labels"], cell["seed"]) == ("refined", 1) else cell
        for cell in downstream_cells("double", 4.0, 2.0, 2.5)
    ]  # fmt: skip

    [row] = compared(cells, "truth")

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

    rows = {(row["model"], row["count"]): row for row in compared(made, "truth")}

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

    [row] = compared(cells, "truth")

    ratio = refined.mean() / human.mean()
    error = 100 * np.std(refined - ratio * human, ddof=1) / np.sqrt(300) / human.mean()  # of a ratio of means
    gain, low, high = row["gain"]
    assert gain == pytest.approx(100 * (1 - ratio), abs=0.01)
    assert [low, high] == pytest.approx([gain - 1.96 * error, gain + 1.96 * error], abs=0.15 * error)


def test_the_interval_over_faces_is_of_all_seeds_and_knows_no_seed_s_own_luck():
    random = np.random.default_rng(3)
    human = random.gamma(8, 0.5, (3, 300))
    refined = np.array([0.6, 0.8, 1.0])[:, None] * human * random.uniform(0.8, 1.2, (3, 300))  # seeds far apart
    cells = [
        {"noise": "half", "count": 200, "model": "resnet", "labels": labels, "seed": seed,
         "errors": {"truth": errors[seed].tolist()}}
        for labels, errors in (("human", human), ("true", refined), ("refined", refined))
        for seed in range(3)
    ]  # fmt: skip

    [row] = compared(cells, "truth")

    ratio = (refined.mean(1) / human.mean(1))[:, None]
    error = 100 * (refined - ratio * human).std(1, ddof=1) / np.sqrt(300) / human.mean(1)  # of each seed's ratio
    reach = 1.96 * np.sqrt((error**2).sum()) / 3
    assert row["over_faces"] == pytest.approx([row["gain"][0] - reach, row["gain"][0] + reach], abs=0.15 * reach)
    assert row["gain"][2] - row["gain"][1] > 10 * reach


def test_a_row_without_all_three_labels_is_not_shown(tmp_path):
    assert compared(downstream_cells("double", 4, 2, 3)[:4], "truth") == []


def test_a_cell_of_the_downstream_bench_is_a_network_and_its_errors(tiny, tmp_path, every_peak_counts):
    from bench.downstream.__main__ import make_cell

    for labels in ("refined", "true"):
        cell = make_cell("default", 10, "resnet", labels, 3, tmp_path)
        assert len(cell["errors"]["truth"]) == 4
        assert np.isfinite(cell["errors"]["truth"]).all()
        assert cell["errors"]["truth"] != cell["errors"]["human"]


def test_faces_of_another_version_are_not_taken_for_those_of_this_one(tiny, tmp_path):
    from bench.downstream.data import render

    pool = render("default", 3, tmp_path, lambda *_: None)
    drawn = (pool / "faces" / "000000.pts").read_bytes()
    assert render("default", 3, tmp_path, lambda *_: None) == pool
    assert (pool / "faces" / "000000.pts").read_bytes() == drawn

    (pool / "faces" / "000000.pts").write_bytes(drawn.replace(b"1", b"2"))
    with pytest.raises(DataError, match="another version"):
        render("default", 3, tmp_path, lambda *_: None)
