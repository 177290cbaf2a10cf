"""Sets in memory: instances and arrays, and the long table that they stand for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lmk.annotations import EVIDENCE, AnnotationSet, make_set
from lmk.columns import Words
from lmk.errors import DataError, LmkError
from lmk.scheme import parse_scheme
from lmk.store import read_annotations, write_annotations

WING = parse_scheme('{"name": "wing <1>", "points": 3, "contours": [[0, 1, 2]]}', "wing")


def rows(images=("b.jpg", "a.jpg", "ä/c.jpg"), seed=0, **columns):
    """A long table of one instance an image, in an order of its own."""
    keys = pd.MultiIndex.from_product([images, [0], range(3)], names=["image", "instance", "landmark"])
    table = keys.to_frame(index=False)
    table[["x", "y"]] = np.random.default_rng(seed).uniform(0, 100, (len(table), 2))
    return table.assign(**columns).sample(frac=1, random_state=seed)


def make(**columns):
    return make_set(rows(**columns), WING, {"producer": "test"}, "here")


def refined(start):
    random = np.random.default_rng(5)
    evidence = {name: random.uniform(0, 1, start.shape) for name in EVIDENCE}
    evidence |= {name: np.zeros(start.shape) for name in ("at_edge", "fold", "repeats")}
    evidence["reason"] = np.array([["slip", None, "swap"]] * len(start.instances), object)
    for values in evidence.values():
        values[1] = None
    return start.moved(start.points + 1, 1, evidence, {"producer": "search"})


def test_a_set_shows_itself_in_one_line_and_as_a_table_for_notebooks():
    gone = np.zeros((3, 3), bool)
    gone[0, 0] = True
    labels = make(split="train").without(gone)

    assert repr(labels) == "AnnotationSet: 3 instances x 3 points of wing <1>, iteration 0, 8 labelled (train 3)"
    page = labels._repr_html_()
    assert "wing &lt;1&gt;" in page
    assert "<1>" not in page
    assert "<td>train 3</td>" in page
    mixed = labels.with_columns(iteration=[0, 2, 1], split=["test", "val", "train"])
    assert repr(mixed).endswith("iteration 0 to 2, 8 labelled (train 1, val 1, test 1)")
    assert repr(labels.select(np.zeros(3, bool))).startswith("AnnotationSet: 0 instances x 3 points")


def test_the_long_table_and_the_set_are_the_same():
    for labels in (make(annotator="ann", gross="slip"), refined(make()), refined(make()).select(np.zeros(3, bool))):
        again = AnnotationSet.from_frame(labels.frame, labels.scheme, labels.provenance)

        some = len(labels.instances) > 0  # without a null, a type is that of the file
        pd.testing.assert_frame_equal(again.frame, labels.frame, check_dtype=some)
        pd.testing.assert_frame_equal(again.instances, labels.instances, check_dtype=some)
        assert again.provenance == labels.provenance


def test_the_long_table_has_the_rows_that_were_given():
    table = rows(split="val", annotator="ann", width=10, height=20, box_x=0.25, box_y=0.5, box_size=8.5)
    frame = make_set(table, WING, {}, "here").frame

    wanted = table.sort_values(["image", "instance", "landmark"], ignore_index=True)
    pd.testing.assert_frame_equal(frame[list(wanted)], wanted, check_dtype=False)
    assert (frame["visibility"] == 2).all()


def test_only_whole_instances_in_order_are_a_long_table():
    frame = make().frame

    with pytest.raises(ValueError, match="not 3 landmarks an instance"):
        AnnotationSet.from_frame(frame[::-1], WING)
    with pytest.raises(ValueError, match="not 3 landmarks an instance"):
        AnnotationSet.from_frame(frame[:-1], WING)


def test_arrays_of_another_shape_are_refused():
    labels = make()

    with pytest.raises(ValueError, match=r"x has shape \(3, 2\), expected \(3, 3\)"):
        replace(labels, values={**labels.values, "x": np.zeros((3, 2))})


def test_columns_have_the_types_of_the_file_and_what_would_not_fit_stays(tmp_path):
    write_annotations(refined(make()), tmp_path / "i01")
    labels = read_annotations(tmp_path / "i01")

    kinds = {name: values.dtype.name for name, values in labels.values.items() if isinstance(values, np.ndarray)}
    assert {kinds[name] for name in ("x", "y", "chi2", "at_edge", "fold", "repeats")} == {"float32"}  # null among them
    assert kinds["visibility"] == "uint8"
    assert labels.values["reason"].codes.dtype == np.int8
    assert labels.points.dtype == np.float64
    assert labels.column("at_edge")[0].tolist() == [0, 0, 0]
    assert np.isnan(labels.column("at_edge")[1]).all()
    assert labels.column("reason").tolist() == [["slip", None, "swap"], [None] * 3, ["slip", None, "swap"]]
    assert make(visibility=300).column("visibility").dtype == np.int64
    assert make().column("x").dtype == np.float64  # exact until it is written


def test_instances_are_chosen_by_flags_and_by_rows_with_all_their_columns():
    labels = refined(make(annotator="ann"))

    some = labels.select(np.array([2, 0]))

    assert some.instances["image"].tolist() == ["ä/c.jpg", "a.jpg"]
    np.testing.assert_array_equal(some.points, labels.points[[2, 0]])
    assert some.column("reason").tolist() == labels.column("reason")[[2, 0]].tolist()
    flags = labels.select(np.array([True, False, True]))
    pd.testing.assert_frame_equal(flags.frame, some.select(np.array([1, 0])).frame)


def test_columns_are_changed_for_all_for_each_instance_and_for_each_point():
    labels = make(annotator="ann")

    changed = labels.with_columns(
        split="test", width=[1, 2, 3], chi2=np.arange(9).reshape(3, 3), repeats=2, gross="slip"
    )

    assert changed.in_split("test").all()
    assert changed.column("width").tolist() == [[1] * 3, [2] * 3, [3] * 3]
    assert changed.column("chi2").tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert (changed.column("repeats") == 2).all()
    assert (changed.column("gross") == "slip").all()
    assert labels.in_split("train").all()
    assert not labels.has("chi2")
    assert not changed.with_columns(chi2=None, annotator=None).has("chi2")
    assert not changed.with_columns(annotator=None).has("annotator")
    assert changed.has("landmark")
    with pytest.raises(KeyError):
        labels.column("chi2")


def test_a_moved_set_has_its_own_evidence_alone():
    start = refined(make())

    moved = start.moved(start.points + 1, 2, {"chi2": np.ones((3, 3))}, {"producer": "other"})

    assert {name for name in EVIDENCE if moved.has(name)} == {"chi2"}
    assert set(moved.instances["iteration"]) == {2}
    np.testing.assert_allclose(moved.points, start.points + 1)
    assert moved.provenance == {"producer": "other"}
    assert start.has("reason")


def test_annotators_that_differ_inside_an_instance_are_kept_for_every_point(tmp_path):
    table = rows(annotator="ann", source="web").sort_values(["image", "landmark"], ignore_index=True)
    table.loc[4, "annotator"] = "ben"
    table.loc[8, "annotator"] = None
    wanted = [["ann"] * 3, ["ann", "ben", "ann"], ["ann", "ann", None]]
    labels = make_set(table, WING, {}, "here")
    write_annotations(labels, tmp_path / "set")

    for kept in (labels, read_annotations(tmp_path / "set"), AnnotationSet.from_frame(labels.frame, WING)):
        assert kept.column("annotator").tolist() == wanted
        assert kept.instances["annotator"].tolist() == ["ann"] * 3  # of the first point
        assert "source" not in kept.values
        assert kept.instances["source"].tolist() == ["web"] * 3
    reversed_ = labels.select(np.array([2, 1, 0]))
    assert reversed_.column("annotator").tolist() == wanted[::-1]
    assert make().with_columns(annotator=np.array(wanted, object)).frame["annotator"][4] == "ben"


def test_points_of_one_instance_that_disagree_on_what_it_has_once_are_refused():
    table = rows(split="train").sort_values(["image", "landmark"], ignore_index=True)
    table.loc[4, "split"] = "val"

    with pytest.raises(DataError, match=r"here: b.jpg instance 0: its points do not agree on split; give all"):
        make_set(table, WING, {}, "here")


def test_a_set_is_made_of_parts_as_of_the_whole():
    table = rows([f"{number:02d}.jpg" for number in range(40)], seed=2).sort_values("image", ignore_index=True)
    table = table.assign(annotator=["ann"] * 60 + ["ben"] * 60, gross=None)
    table.loc[75, "gross"] = "slip"
    table.loc[80, "annotator"] = "ann"
    table.loc[90, ["x", "y"]] = np.nan
    whole = make_set(table, WING, {}, "here")

    def parts():
        yield table[60:].drop(columns="split", errors="ignore")
        yield table[:0]
        yield table[:9].drop(columns=["gross", "annotator"]).assign(annotator="ann")
        yield table[9:60]

    made = make_set(parts(), WING, {}, "here")

    pd.testing.assert_frame_equal(made.frame, whole.frame)


def test_columns_that_only_some_parts_have_are_null_in_the_others():
    parts = [rows(["a"]), rows(["b"], annotator="ann", chi2=1.0, gross="slip"), rows(["c"])]

    labels = make_set(parts, WING, {}, "here")

    assert labels.instances["annotator"].isna().tolist() == [True, False, True]
    assert labels.column("gross")[:, 0].tolist() == [None, "slip", None]
    assert np.isnan(labels.column("chi2")[[0, 2]]).all()
    assert (labels.column("chi2")[1] == 1).all()


def test_what_is_wrong_with_one_part_or_between_parts_is_named():
    with pytest.raises(LmkError, match=r"a\.jpg instance 0 has landmark 0 twice; give each object"):
        make_set([rows(["a.jpg"]), rows(["a.jpg"])], WING, {}, "here")
    with pytest.raises(LmkError, match=r"b\.jpg instance 0 has 2 points"):
        make_set([rows(["a.jpg"]), rows(["b.jpg"])[:2]], WING, {}, "here")
    with pytest.raises(DataError, match="no annotations found"):
        make_set(iter([]), WING, {}, "here")


BAD = [
    "",
    "/etc/passwd",
    "../x.jpg",
    "a/../../x.jpg",
    "a/..",
    "C:/x.jpg",
    "c:x.jpg",
    "a\\x.jpg",
    "a//x.jpg",
    "a/",
    "a\0b",
]


@pytest.mark.parametrize("name", BAD)
def test_an_image_that_may_lie_outside_of_the_dataset_is_refused_where_a_set_is_made_and_where_it_is_read(
    name, tmp_path
):
    with pytest.raises(DataError, match=r"here: image .*; name each image relative to the dataset's folder") as error:
        make_set([rows(["fine.jpg"]), rows([name])], WING, {}, "here")
    assert "\n" not in str(error.value)
    assert repr(name) in str(error.value)

    write_annotations(AnnotationSet.from_frame(make().frame.replace("b.jpg", name), WING), tmp_path / "set")
    with pytest.raises(DataError, match="name each image relative to the dataset's folder") as error:
        read_annotations(tmp_path / "set")
    assert repr(name) in str(error.value)


def test_names_that_only_look_odd_are_fine():
    odd = ["a..b.jpg", "..a.jpg", "./a.jpg", "d/.hidden", "é ü.jpg", "a:b.jpg".replace("a:", "aa:"), "...", "~a"]

    assert len(make_set(rows(odd), WING, {}, "here").instances) == len(odd)


def test_words_are_few_and_come_back():
    texts = np.array([["slip", None], ["swap", "slip"], [None, np.nan]], object)

    words = Words.of(texts)

    assert words.texts().tolist() == [["slip", None], ["swap", "slip"], [None, None]]
    assert set(words.words) == {"slip", "swap"}
    assert words.codes.dtype == np.int8
    assert words.without(np.array([[True, False], [False, True], [False, False]])).texts().tolist() == [
        [None, None],
        ["swap", None],
        [None, None],
    ]
    many = Words.of(np.array([[str(number)] for number in range(300)]))
    assert many.codes.dtype == np.int16
    assert many.texts()[:, 0].tolist() == [str(number) for number in range(300)]
