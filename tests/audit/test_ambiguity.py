"""How loosely annotators place landmarks: against noise that is known, and the formula written out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from lmk.audit.ambiguity import DOUBT, MEMORY, MODEL, ambiguity, of_iteration
from lmk.cli import main
from lmk.errors import DataError
from lmk.scheme import load_scheme
from lmk.synth.noise import annotate
from lmk.synth.render import render_face
from tests.history.sets import SCHEME, faces_like, folder, make

ALONG, ACROSS, READING = 1.6, 0.5, 0.7  # pixels


def noisy(count, seed, by_heart=0.0):
    """Human labels, and what a refiner makes of them and of a detector's readings.

    The refiner knows all variances as they show; the detector knows a part of the human noise by heart, where a point
    is not one of the tenth that it has not learnt.
    """
    random = np.random.default_rng(seed)
    truth = faces_like(SCHEME, count, seed, side=200.0)
    along = np.nan_to_num(SCHEME.tangents(truth), nan=0.0)
    along[~SCHEME.tangents(truth).any(-1) | (along == 0).all(-1)] = [1.0, 0.0]
    across = np.stack([-along[..., 1], along[..., 0]], -1)
    noise = random.normal(0, 1, (2, count, SCHEME.size, 1)) * np.array([ALONG, ACROSS])[:, None, None, None]
    off = random.normal(0, READING, (2, count, SCHEME.size, 1))
    human = truth + noise[0] * along + noise[1] * across
    shown = [(1 - by_heart) * size for size in (ALONG, ACROSS)]
    shares = [READING**2 / (READING**2 + size**2) for size in shown]  # of the human point in the refined one
    error = [share * size**2 for share, size in zip(shares, shown, strict=True)]
    unlearnt = random.random((count, SCHEME.size)) < 0.1
    read = [o + by_heart * n * ~unlearnt[..., None] for n, o in zip(noise, off, strict=True)]
    moved = [n * share + o * (1 - share) for n, o, share in zip(noise, read, shares, strict=True)]
    images = [f"{number:04d}.jpg" for number in range(count)]
    box = {"box_x": 0.0, "box_y": 0.0, "box_size": 400.0}
    start = make(images, human, **box)
    shape = (count, SCHEME.size)
    evidence = {
        "error_after": np.full(shape, np.sqrt(sum(error))),
        "error_along": np.full(shape, np.sqrt(error[0])),
        "suspicion": np.zeros(shape),
        "chi2": np.zeros(shape),
    }
    return start, start.moved(truth + moved[0] * along + moved[1] * across, 1, evidence, {"producer": "test"}), unlearnt


def test_the_spread_is_what_was_injected_and_its_interval_holds_it():
    missed = []
    for seed in range(6):
        for row in ambiguity(*noisy(400, seed)):
            for found, injected in ((row.along, ALONG), (row.across, ACROSS)):
                middle, low, high = found
                assert middle == pytest.approx(100 * injected / 400, rel=0.15)
                missed.append(not low < 100 * injected / 400 < high)

    assert np.mean(missed) < 0.06


def test_what_the_detector_knows_by_heart_shows_in_points_that_it_has_not_learnt():
    human, refined, unlearnt = noisy(3000, 0, by_heart=0.15)
    injected = np.array([100 * ALONG / 400, 100 * ACROSS / 400])

    def found(mask):
        rows = ambiguity(human, refined, mask)
        return np.median([[row.along[0], row.across[0]] for row in rows], axis=0) / injected

    without, stretched = found(None), found(unlearnt)
    assert without[0] < 0.9
    assert stretched[0] == pytest.approx(1, abs=0.05)
    assert stretched[1] == pytest.approx(without[1], rel=0.01)  # a network reads points well across their contour


def test_an_interval_is_wider_where_nobody_knows_what_the_detector_knows():
    human, refined, unlearnt = noisy(3000, 0)

    def width(mask):
        _, low, high = ambiguity(human, refined, mask)[1].along
        return np.log(high / low)

    assert width(None) > 1.3 * width(unlearnt)


def test_points_that_somebody_has_put_somewhere_say_nothing_of_noise():
    human, refined, _ = noisy(400, 0)
    decided = np.zeros(refined.labelled.shape, bool)
    decided[:200, 2] = True
    points = np.where(decided[..., None], human.points, refined.points)
    reverted = refined.with_columns(x=points[..., 0], y=points[..., 1])

    assert ambiguity(human, reverted, decided=decided)[2].along[0] == pytest.approx(100 * ALONG / 400, rel=0.12)
    assert ambiguity(human, reverted)[2].along[0] < 0.85 * 100 * ALONG / 400


def test_an_instance_without_extent_spoils_no_sigma():
    human, refined, _ = noisy(60, 0)
    gone = np.zeros(refined.shape, bool)
    gone[0] = np.arange(refined.landmarks) != 3

    rows = ambiguity(human, refined.without(gone))

    assert np.isfinite([row.sigma for row in rows]).all()
    usual = [row.sigma for row in ambiguity(human, refined)]
    assert [row.sigma for row in rows] == pytest.approx(usual, rel=0.1)


def test_numbers_are_those_of_the_formula_written_out():
    human, refined, _ = noisy(40, 3)
    suspicion = np.random.default_rng(0).uniform(0, 1, refined.labelled.shape)
    refined = refined.with_columns(suspicion=suspicion)
    along = refined.scheme.tangents(refined.points)

    found = ambiguity(human, refined)

    for k in (1, 4, 7):
        total, similar, weight = np.zeros(2), 0.0, 0.0
        for n in range(40):
            apart = human.points[n, k] - refined.points[n, k]
            way = along[n, k] if np.isfinite(along[n, k]).all() else np.array([1.0, 0.0])
            error, part = (refined.column(name).astype(float)[n, k] for name in ("error_after", "error_along"))
            trust = 1 - suspicion[n, k]
            first = (apart @ way) ** 2 + part**2
            second = (apart @ [-way[1], way[0]]) ** 2 + error**2 - part**2
            total += trust * np.array([first, second]) / 400**2
            area = np.prod(np.ptp(refined.points[n], axis=0))
            similar += trust * (first + second) / area
            weight += trust
        assert [found[k].along[0], found[k].across[0]] == pytest.approx(100 * np.sqrt(total / weight), rel=1e-3)
        assert found[k].sigma == pytest.approx(np.sqrt(similar / weight), rel=1e-3)
    assert np.mean([row.weight for row in found]) == pytest.approx(1, abs=1e-3)


def written_out(human, refined, unlearnt):
    """Of each landmark: spread and interval along and across, OKS sigma, weight; point by point.

    Three groups of landmarks: two contours, the first of which has their common point, and what is on none.
    """
    groups, names = [[0, 1, 2, 3], [4, 5, 6], [7]], refined.instances["image"].tolist()
    ways = refined.scheme.tangents(refined.points)
    error, part = (refined.column(name).astype(float) for name in ("error_after", "error_along"))
    trust = 1 - refined.column("suspicion").astype(float)
    left = np.stack([part**2, error**2 - part**2], -1) / 400**2
    square = np.zeros_like(left)
    for n, k in np.ndindex(*trust.shape):
        way = ways[n, k] if np.isfinite(ways[n, k]).all() else np.array([1.0, 0.0])
        apart = (human.points[n, k] - refined.points[n, k]) / 400
        square[n, k] = [(apart @ way) ** 2, (apart @ [-way[1], way[0]]) ** 2] + left[n, k]
    learnt, fresh = trust * ~unlearnt, trust * unlearnt

    # How much further off, as a standard deviation's logarithm, points are that were not learnt, by groups.
    mean = [np.average(square[:, k, 0], weights=learnt[:, k]) for k in range(8)]
    relative = square[..., 0] / mean
    scatter = np.average((relative - 1) ** 2, weights=fresh)
    found = [np.log(np.average(relative[:, g], weights=fresh[:, g])) / 2 for g in groups]
    errors = [np.sqrt(scatter / fresh[:, g].sum()) / 2 for g in groups]
    precision = [1 / e**2 for e in errors]
    middle = np.average(found, weights=precision)
    surplus = sum(p * (f - middle) ** 2 for p, f in zip(precision, found, strict=True)) - 2
    between = surplus / (sum(precision) - sum(p**2 for p in precision) / sum(precision))
    assert between > 0
    rows = []
    for k in range(8):
        number = next(i for i, g in enumerate(groups) if k in g)
        share = between / (between + errors[number] ** 2)
        stretch = np.exp(share * found[number] + (1 - share) * middle)
        memory = np.sqrt(share * errors[number] ** 2 + (1 - share) ** 2 / sum(precision))
        values, whole = [], 0.0
        for way in (0, 1):
            stretched = way == 0 or k == 7
            variance = np.average(square[:, k, way], weights=learnt[:, k])
            added = dict.fromkeys(names, 0.0)
            for n, name in enumerate(names):
                added[name] += learnt[n, k] * (square[n, k, way] - variance)
            sampled = np.sqrt(sum(a**2 for a in added.values())) / learnt[:, k].sum() / variance / 2
            own = np.average(left[:, k, way], weights=learnt[:, k]) / variance / 2
            doubt = np.sqrt(sampled**2 + MODEL**2 + (DOUBT * own) ** 2 + (memory if stretched else 0) ** 2)
            size = 100 * np.sqrt(variance) * (stretch if stretched else 1)
            values.append([size, size * np.exp(-1.96 * doubt), size * np.exp(1.96 * doubt)])
            area = np.prod(np.ptp(refined.points, axis=1), axis=-1) / 400**2
            whole += np.average(square[:, k, way] / area, weights=learnt[:, k]) * (stretch if stretched else 1) ** 2
        rows.append((*values, np.sqrt(whole), 1 / np.hypot(values[0][0], values[1][0])))
    mean_weight = np.mean([row[3] for row in rows])
    return [(*row[:3], row[3] / mean_weight) for row in rows]


def test_intervals_weights_and_what_is_known_by_heart_are_those_of_the_formulas_written_out():
    human, refined, unlearnt = noisy(1000, 5, by_heart=0.15)
    points = refined.points.copy()
    further = human.points - points
    points[:, 4:7] -= (0.6 * further * unlearnt[..., None])[:, 4:7]  # on one contour, more is known by heart
    suspicion = np.random.default_rng(1).uniform(0, 1, unlearnt.shape)
    refined = refined.with_columns(x=points[..., 0], y=points[..., 1], suspicion=suspicion)
    # Two instances an image, that miss alike: what an image adds counts as one.
    rows = np.arange(len(points)).repeat(2)
    human, refined = (part.select(rows).with_columns(instance=np.arange(len(rows)) % 2) for part in (human, refined))
    unlearnt = unlearnt.repeat(2, axis=0)

    found = ambiguity(human, refined, unlearnt)

    for row, expected in zip(found, written_out(human, refined, unlearnt), strict=True):
        for value, written in zip((row.along, row.across, row.sigma, row.weight), expected, strict=True):
            assert value == pytest.approx(written, rel=1e-3)


def test_where_no_points_were_left_out_what_is_known_by_heart_is_in_doubt():
    human, refined, unlearnt = noisy(200, 5)

    for row, other in zip(ambiguity(human, refined), ambiguity(human, refined, np.zeros_like(unlearnt)), strict=True):
        assert row == other
        _, low, high = row.along
        assert np.log(high / low) / 2 / 1.96 > np.hypot(MODEL, MEMORY)


def test_labels_that_repeat_those_of_before_are_judged_by_their_detector(tmp_path, monkeypatch):
    human, refined, unlearnt = noisy(400, 4, by_heart=0.15)
    again = replace(refined.with_columns(repeats=1), provenance={"parent_iteration": "i01"})
    first = replace(refined, provenance={"parent_iteration": "i00"})
    paths = folder(tmp_path, human, first, again)
    for name in ("i00", "i01"):
        paths.model(name).mkdir(parents=True)
    asked = []
    monkeypatch.setattr("lmk.audit.ambiguity.unlearnt", lambda model, _: asked.append(model.name) or unlearnt)

    found = of_iteration(paths, "i02")

    assert asked == ["i00"]
    assert found == of_iteration(paths, "i01")


def test_too_few_points_say_nothing(tmp_path, capsys):
    paths = folder(tmp_path, *noisy(8, 2)[:2])

    assert main(["ambiguity", str(paths.root)]) == 1
    assert "no landmark has 10 points" in capsys.readouterr().err


def test_likely_gross_errors_do_not_count():
    human, refined, _ = noisy(200, 1)
    points = human.points.copy()
    points[:8, 2] += 60
    spoilt = human.moved(points, 0, {}, {})
    suspicion = np.zeros(refined.labelled.shape)
    suspicion[:8, 2] = 1.0
    known = refined.with_columns(suspicion=suspicion)

    assert ambiguity(spoilt, known)[2].along[0] == pytest.approx(100 * ALONG / 400, rel=0.15)
    assert ambiguity(spoilt, refined)[2].along[0] > 2 * 100 * ALONG / 400


def test_a_looser_landmark_weighs_less_and_the_noise_of_rendered_faces_is_found():
    """Corners of eyes and mouth are placed well, contours loosely; a refiner that knew the truth would say so."""
    scheme, count = load_scheme("ibug68"), 120
    truth = np.tile(np.stack([render_face(7, index, 128).points for index in range(30)]), (4, 1, 1))
    clicks = np.stack([annotate(truth[i], 128, scheme, "default-clean", 7, i).points for i in range(count)])
    box = {"box_x": 0.0, "box_y": 0.0, "box_size": 128.0}
    human = make([f"{number:03d}.jpg" for number in range(count)], clicks, scheme, **box)
    sure = {name: np.full((count, 68), 1e-3) for name in ("error_after", "error_along", "chi2")}
    refined = human.moved(truth, 1, sure, {})

    found = {row.landmark: row for row in ambiguity(human, refined)}

    assert np.median([found[k].along[0] for k in range(17)]) == pytest.approx(2.5, rel=0.1)
    assert np.median([found[k].across[0] for k in range(17)]) == pytest.approx(0.6, rel=0.1)
    assert found[36].along[0] == pytest.approx(0.6, rel=0.15)
    assert found[36].weight > 2 * found[8].weight
    assert found[8].sigma > 2 * found[36].sigma


def test_a_set_that_does_not_know_how_certain_it_is_is_refused():
    human, refined, _ = noisy(20, 0)
    bare = refined.moved(refined.points, 1, {}, {})

    with pytest.raises(DataError, match="takes the refiner `consensus`"):
        ambiguity(human, bare)


def test_the_command_writes_what_training_reads(tmp_path, capsys):
    paths = folder(tmp_path, *noisy(30, 2)[:2])
    kept = tmp_path / "ambiguity.json"

    assert main(["ambiguity", str(paths.root), "-o", str(kept)]) == 0
    assert "loosest first" in capsys.readouterr().out

    content = json.loads(kept.read_text())
    assert content["iteration"] == "i01"
    assert len(content["sigmas"]) == SCHEME.size
    assert set(content["weights"]) == set(SCHEME.names)
    assert main(["ambiguity", str(paths.root), "--iteration", "i00"]) == 1
    assert "i01" in capsys.readouterr().err
