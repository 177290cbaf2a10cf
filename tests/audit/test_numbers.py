"""The audit's numbers, against their definitions written out; decisions in bulk."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from lmk.audit.numbers import _MEANS, audit, audited, format_audit, sentence
from lmk.audit.results import Audit, Numbers, Parts, read_audit
from lmk.errors import DataError, UnknownName
from lmk.history import ledger
from lmk.history.decisions import Wish, decide, format_decided
from lmk.history.findings import FINDINGS, Finding
from lmk.history.sql import asking
from lmk.scheme import load_scheme
from lmk.store import read_annotations, write_json
from tests.history.sets import SCHEME, faces_like, folder, make, scattered

COUNT = 24


@pytest.fixture
def paths(tmp_path):
    """Human labels and two iterations that move every point about two pixels; two instances an image."""
    images, instances = np.repeat([f"{n:02d}.jpg" for n in range(COUNT // 2)], 2), np.tile([0, 1], COUNT // 2)
    random = np.random.default_rng(0)
    human = scattered(COUNT, 0)
    points = [human, human + random.normal(0, 2, human.shape), human + random.normal(0, 1, human.shape)]
    splits = np.repeat(np.where(np.arange(COUNT) < 16, "train", "val"), SCHEME.size)
    columns = {"split": splits, "box_x": 0.0, "box_y": 0.0, "box_size": 100.0}
    return folder(tmp_path, *(make(images, part, instances=instances, **columns) for part in points))


def test_numbers_are_what_their_definitions_say(paths):
    human, last = (read_annotations(paths.annotations(name)).points for name in ("i00", "i02"))
    shift = (last - human).reshape(-1, 2)
    drift = np.linalg.norm(shift, axis=1)
    by_image = drift.reshape(COUNT // 2, -1)
    mean = drift.mean()
    images = len(by_image)
    spread = np.sqrt(((by_image.sum(1) - mean * by_image.shape[1]) ** 2).sum() * images / (images - 1)) / drift.size

    with asking(paths) as questions:
        row = audit(questions, list(paths.files())).iterations[1]

    assert row.points == drift.size
    expected = {
        "mean": mean, "median": np.median(drift), "p95": np.percentile(drift, 95), "worst": drift.max(),
        "dx": shift[:, 0].mean(), "dy": shift[:, 1].mean(), "percent": mean,
        "var_x": shift[:, 0].var(ddof=1), "cov_xy": np.cov(shift.T)[0, 1],
        "percent_low": mean - 1.96 * spread, "percent_high": mean + 1.96 * spread,
    }  # fmt: skip
    assert {name: getattr(row, name) for name in expected} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("by", "count"), [("landmark", 8), ("contour", 2), ("split", 2), ("image", COUNT // 2)])
def test_parts_add_up_to_the_whole(paths, by, count):
    with asking(paths) as questions:
        found = audit(questions, list(paths.files()), by)
    rows, whole = found.by.rows, found.iterations[-1]

    assert len(rows) == count
    if by != "contour":  # a point is on none
        assert sum(row.points for row in rows) == whole.points
        mean = sum(row.mean * row.points for row in rows) / whole.points
        assert mean == pytest.approx(whole.mean)
    if by == "landmark":
        assert [row.part for row in rows] == list(SCHEME.names)


def test_digits_in_which_two_runs_may_differ_are_left_out(paths):
    with asking(paths) as questions:
        found = audit(questions, list(paths.files()), "landmark")
    values = [value for row in found.by.rows for value in row.as_json().values() if isinstance(value, float)]

    assert values
    assert values == [float(f"{value:.9g}") for value in values]


def test_a_part_that_nobody_knows_is_named_with_those_there_are(paths):
    with asking(paths) as questions, pytest.raises(UnknownName, match="annotator"):
        audit(questions, list(paths.files()), "colour")


def test_labels_that_settle_say_so(paths):
    with asking(paths) as questions:
        found = audit(questions, list(paths.files()))

    first, second = found.iterations
    assert found.settling == [None, pytest.approx(second.step / first.step)]
    assert [row["settling"] for row in found.as_json()["iterations"]] == found.settling


def test_a_folder_of_human_labels_alone_has_no_drift(paths):
    for name in ("i01", "i02"):
        paths.annotations(name).unlink()

    with asking(paths) as questions:
        found = audit(questions, ["i00"], "landmark")

    assert (found.iterations, found.by.rows, found.findings) == ((), (), ())
    assert "only the human labels are here" in format_audit(found)


def test_the_terminal_names_iterations_parts_and_findings(paths):
    with asking(paths) as questions:
        found = audit(questions, list(paths.files()), "split")
    slid = Finding("contour", "jaw", "split val", "along", images=9, mean_percent=-2.0, t=-9.5, p=0.0)

    text = format_audit(replace(found, findings=(slid,)))

    assert [line.split()[0] for line in text.splitlines() if line[:2] in ("i0", "tr", "va")] == [
        "i01", "i02", "i00", "i01", "i02", "train", "val",
    ]  # fmt: skip
    assert "contour jaw in split val: 2.00 % of the box back along its contour, on top of what all points did" in text


@pytest.mark.parametrize(
    ("what", "direction", "size", "said"),
    [
        ("points", "right", 1.0, "all points: 1.00 % of the box to the right (t"),
        ("points", "down", -1.0, "all points: 1.00 % of the box up (t"),
        ("landmark", "across", -1.0, "landmark all points: 1.00 % of the box across its contour, to the left, on top"),
    ],
)
def test_findings_in_words(what, direction, size, said):
    finding = Finding(what, "all points", "", direction, images=9, mean_percent=size, t=5.0, p=0.0)

    assert sentence(finding).startswith(said)


def test_decisions_are_on_the_points_that_meet_a_condition(paths):
    last = read_annotations(paths.annotations("i02"))

    rows, file = decide(paths, Wish("accept", "landmark = 3 AND split = 'train'", None, "me", "seen"))

    kept = ledger.read(paths.decisions)
    assert file is not None
    assert file.parent == paths.decisions / "i02"
    assert len(rows) == len(kept) == 16
    assert set(kept["landmark"]) == {3}
    assert set(zip(kept["action"], kept["decided_by"], kept["why"], strict=True)) == {("accept", "me", "seen")}
    where = {(image, instance): k for k, (image, instance) in enumerate(last.instances[["image", "instance"]].values)}
    for image, instance, x, y in kept[["image", "instance", "x", "y"]].itertuples(index=False):
        assert (x, y) == tuple(last.points[where[image, instance], 3])
    assert "16 points of 8 images in i02 accepted" in format_decided(rows, "accept", file)


def test_a_dry_run_decides_nothing(paths):
    rows, file = decide(paths, Wish("revert", "drift > 0", "i01", None, None), dry_run=True)

    assert file is None
    assert not paths.decisions.exists()
    assert "would be reverted" in format_decided(rows, "revert", file)


def test_a_condition_that_no_point_meets_is_a_mistake(paths):
    with pytest.raises(DataError, match="no point of i02 meets it"):
        decide(paths, Wish("revert", "drift > 1000", None, "me", None))
    with pytest.raises(UnknownName, match="i09"):
        decide(paths, Wish("revert", "drift > 0", "i09", "me", None))


def test_what_holds_can_be_asked(paths):
    decide(paths, Wish("accept", "landmark = 1", "i01", "me", None))
    decide(paths, Wish("revert", "landmark = 1 AND split = 'val'", None, "you", "no"))
    labels = ledger.accepted(read_annotations(paths.annotations("i02")), paths.decisions)

    with asking(paths) as questions:
        rules = questions.rows("SELECT rule, iteration, decided_by, count(*) FROM labels GROUP BY ALL ORDER BY 1, 2")
        held = questions.ask("SELECT x, y FROM labels ORDER BY image, instance, landmark").to_numpy()

    assert rules == [("accept", "i01", "me", 16), ("refined", "i02", None, COUNT * 7), ("revert", "i02", "you", 8)]
    np.testing.assert_array_equal(held, labels.points.reshape(-1, 2))


def test_instances_whose_sides_were_exchanged_are_left_out_of_the_means(tmp_path):
    scheme = load_scheme("ibug68")
    human = faces_like(scheme, 30, 1)
    refined = human + 1.0
    refined[4] = human[4][scheme.flip]
    names = [f"{number:02d}.jpg" for number in range(30)]
    paths = folder(tmp_path, make(names, human, scheme), make(names, refined, scheme))

    with asking(paths) as questions:
        found = audit(questions, ["i00", "i01"])

    assert found.iterations[0].worst == pytest.approx(2**0.5, abs=0.02)
    assert found.iterations[0].points == 29 * 68
    assert [row.swapped for row in found.shapes] == [0, 1]


def test_long_names_are_shown_whole(paths):
    scheme = load_scheme("ibug68")
    with asking(paths) as questions:
        found = audit(questions, list(paths.files()), "landmark")
    renamed = [replace(row, part=name) for row, name in zip(found.by.rows, scheme.names[-8:], strict=True)]

    text = format_audit(replace(found, by=Parts("landmark", tuple(renamed))))

    assert all(name in text for name in scheme.names[-8:])


def test_a_user_without_a_name_has_to_say_who_decides(paths, monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    decide(paths, Wish("revert", "landmark = 0", None, None, None), dry_run=True)
    with pytest.raises(DataError, match="--by NAME"):
        decide(paths, Wish("revert", "landmark = 0", None, None, None))


def test_an_audit_comes_back_from_its_json_and_has_a_field_for_each_number(paths):
    found = audited(paths, list(paths.files()), {"far": "drift > 0", "edge": "at_edge"}, "contour")

    written = json.loads(json.dumps(found.as_json(), allow_nan=False))

    assert Audit.of(written) == found
    assert list(written) == ["iterations", "shapes", "findings", "by", "gates"]
    numbers = [field.name for field in fields(Numbers)]
    assert numbers == ["iteration", "part", "points", *_MEANS, "images", "percent_low", "percent_high"]
    assert list(written["by"]["rows"][0]) == numbers
    assert list(written["iterations"][0]) == [*numbers, "settling"]
    assert [field.name for field in fields(Finding)] == list(FINDINGS)


def test_where_nothing_counts_there_is_a_row_without_numbers(tmp_path):
    human = make(["a.jpg"], scattered(1, 0))
    paths = folder(tmp_path, human, human.moved(human.points, 1, {"chi2": np.full((1, 8), np.nan)}, {}))

    [row] = audited(paths, ["i00", "i01"], {}).as_json()["iterations"]

    assert row == {"iteration": "i01", "part": "all", "points": 0, **dict.fromkeys(_MEANS), "settling": None}


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.pop("iterations"), lambda found: found.update(iterations=3),
        lambda found: found["iterations"][0].update(mean="far"), lambda found: found["shapes"][0].pop("instances"),
        lambda found: found.update(findings=[{}]), lambda found: found.update(gates=[None]),
        lambda found: found.update(by=[1]),
    ],
)  # fmt: skip
def test_an_audit_that_somebody_changed_is_one_line(paths, change, tmp_path):
    written = audited(paths, ["i00", "i01", "i02"], {"far": "percent > 25"}, "landmark").as_json()
    write_json(written, tmp_path / "audit.json")
    assert read_audit(tmp_path / "audit.json").as_json() == json.loads((tmp_path / "audit.json").read_text())
    change(written)
    write_json(written, tmp_path / "audit.json")

    with pytest.raises(DataError, match=r"audit\.json: not what an audit writes"):
        read_audit(tmp_path / "audit.json")
