"""What is in the page of the report: names as they are, numbers, advice, and the same bytes every time."""

from __future__ import annotations

import base64
import json
import re
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmk.audit.numbers import audited
from lmk.errors import DataError, ImageError
from lmk.names import Folder
from lmk.report.page import write_report
from lmk.scheme import parse_scheme
from lmk.store import write_annotations
from lmk.workspace import Workspace
from tests.report.reports import GATES, METRICS, chain, embedded, hostile, make, oval_faces, write


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return hostile(tmp_path_factory.mktemp("report"))


def test_names_of_landmarks_and_schemes_are_escaped(tmp_path):
    scheme = parse_scheme('{"name": "<s>", "points": ["</script><i>x", "b", "c"], "contours": [[0, 1]]}', "s")
    human = make(tmp_path, ["a.png", "b.png"], scheme, np.random.default_rng(0).uniform(30, 130, (2, 3, 2)))

    page = write(tmp_path / "out", chain(human), tmp_path, {}).read_text(encoding="utf-8")

    assert "</script><i>x" not in page
    assert "&lt;/script&gt;&lt;i&gt;x" in page
    assert embedded(page, "gallery")["names"][0] == "</script><i>x"


def test_the_headline_names_what_errors_are_divided_by_and_says_where_things_got_worse(report):
    page = report.read_text(encoding="utf-8")

    cards = dict(re.findall(r"<dt>(.*?)</dt>\s*<dd class=\"value\">(.*?)</dd>", page))
    assert {title: re.sub("<.*?>", "", value) for title, value in cards.items()}.items() >= {
        "Points searched": "136",
        "Label error": "5.50 → 5.50",
        "Error of gross mistakes": "5.50 → 2.20",
        "New hourglass": "5.50 → 2.20",
        "New resnet": "5.50 → 5.50",
    }.items()
    assert "+0.0 %; % of interocular, against the truth" in page
    assert "test split, against human labels" in page
    assert re.search(r"smallest label error is that of\s*<code>i01</code>, 2.20", page)
    assert "2 of 3 gates broken" in page


def test_the_page_says_what_to_do_next(report):
    page = report.read_text(encoding="utf-8")
    advice = page[page.index('<ol class="next">') : page.index('<h2 id="provenance">')]

    assert "Gate all is broken" in advice
    assert f"lmk labels {report.parent.parent} -o labels.parquet" in advice


def test_edges_of_windows_are_shown_and_advised_on_only_where_a_search_has_one(tmp_path):
    human = make(tmp_path, ["a.png", "b.png", "c.png"])
    shape = human.labelled.shape
    for name, edge in (("window", np.ones(shape, bool)), ("inside", np.zeros(shape, bool)), ("none", None)):
        evidence = {"chi2": np.ones(shape)} | ({} if edge is None else {"at_edge": edge})
        page = write(
            tmp_path / name, {"i00": human, "i01": human.moved(human.points + 1.0, 1, evidence, {})}, tmp_path, {}
        ).read_text(encoding="utf-8")

        assert ("<th>edge</th>" in page) == ("<em>edge</em>" in page) == (edge is not None)
        assert ("widen the refiner" in page) == (name == "window")
        [head, row] = [
            re.findall(f"<{cell}[ >]", part) for cell, part in
            (("th", page[page.index("<tr><th>iteration</th>") :].split("</tr>")[0]),
             ("td", page[page.index("<tr><th>i01</th>") :].split("</tr>")[0]))
        ]  # fmt: skip
        assert len(head) == len(row) + 1  # the iteration's name is no number


def test_a_gate_that_could_not_be_judged_is_neither_a_tick_nor_a_cross(tmp_path):
    human = make(tmp_path, ["a.png", "b.png"])
    sets = {"i00": human, "i01": human.moved(human.points + 1.0, 1, {"chi2": np.ones(human.labelled.shape)}, {})}
    gates = {"window": "avg(at_edge::INT) > 0.2", "far": "percent > 1000"}

    page = write(tmp_path / "out", sets, tmp_path, {}, gates).read_text(encoding="utf-8")

    assert "1 of 2 gates hold; 1 could not be judged" in page
    assert "? window: not judged, at_edge is empty in i01 <code>" in page
    assert "✓ far: not <code>" in page
    assert "Gate window could not be judged (at_edge is empty in i01)" in page


def test_the_same_sets_give_the_same_bytes_and_no_large_file(report, tmp_path):
    def page(number):
        images = tmp_path / str(number)
        return write(tmp_path / "out", chain(make(images)), images, METRICS, GATES).read_bytes()

    assert page(1) == page(2)
    assert report.stat().st_size < 3_000_000


@pytest.mark.parametrize("metrics", [{}, {"headline": {"normaliser": "box", "failure": 8.0}, "labels": {}}])
def test_a_set_made_without_images_leaves_the_pictures_out_and_says_why(tmp_path, metrics):
    page = write(tmp_path / "out", chain(make(None)), tmp_path, metrics).read_text(encoding="utf-8")

    assert "made without images" in page
    assert embedded(page, "gallery")["items"] == []
    assert 'id="chart-shape"' in page
    assert "Did it help?" not in page


def test_a_set_without_anything_to_search_has_a_report_too(tmp_path):
    human = make(tmp_path)
    sets = chain(human.select(human.in_split("test")), length=1)

    assert "No point moved." in write(tmp_path / "out", sets, tmp_path, {}).read_text(encoding="utf-8")


def test_human_labels_alone_and_a_search_that_moved_nothing_have_a_report_too(tmp_path):
    human = make(tmp_path)
    kept = human.moved(human.points, 1, {}, {})

    one = write(tmp_path / "one", {"i00": human}, tmp_path, METRICS).read_text(encoding="utf-8")
    two = write(tmp_path / "two", {"i00": human, "i01": kept}, tmp_path, {}).read_text(encoding="utf-8")

    assert "nothing has moved yet" in one
    assert "No point moved." in two


def test_missing_points_are_left_out_of_everything(tmp_path):
    names = [f"{k:02d}.png" for k in range(12)]
    points = oval_faces(12, 2)
    points[:, 5] = np.nan

    page = write(tmp_path / "out", chain(make(tmp_path, names, points=points)), tmp_path, {}).read_text(
        encoding="utf-8"
    )

    gallery = embedded(page, "gallery")
    packed = np.frombuffer(base64.b64decode(gallery["items"][0]["points"]), np.int16).reshape(3, 68, 2)
    assert (packed[:, 5] == -32768).all()
    assert (packed[:, 6] != -32768).all()
    assert "jaw_05" not in json.dumps(embedded(page, "charts")["strip"])


@pytest.mark.parametrize("how", ["a name", "a link"])
def test_no_picture_from_outside_of_the_folder_reaches_the_page(tmp_path, how):
    images, secret = tmp_path / "images", tmp_path / "secret.png"
    sets = chain(make(images, ["a.png", "b.png"]))
    (images / "a.png").rename(secret)
    if how == "a link":
        (images / "a.png").symlink_to(secret)
    paths = Workspace(tmp_path / "out")
    for name, labels in sets.items():
        write_annotations(labels, paths.annotations(name))
        if how == "a name":  # as another program would change it
            table = pq.read_table(paths.annotations(name))
            changed = ["../secret.png" if image == "a.png" else image for image in table["image"].to_pylist()]
            column = pa.array(changed, table.schema.field("image").type)
            pq.write_table(table.set_column(0, table.schema.field("image"), column), paths.annotations(name))

    with pytest.raises(DataError, match="leads out of"):
        write_report(paths, list(sets), audited(paths, list(sets), {}), images, None)
    with pytest.raises(DataError, match="leads out of") if how == "a name" else nullcontext():
        write_report(paths, list(sets), audited(paths, list(sets), {}), Folder(images, "follow"), None)
        assert len(embedded(paths.report.read_text(encoding="utf-8"), "gallery")["items"]) == 1


def test_positions_and_evidence_survive_their_packing(tmp_path):
    sets = chain(make(tmp_path, ["a.png", "b.png", "c.png"]))
    page = write(tmp_path / "out", sets, tmp_path, {}).read_text(encoding="utf-8")
    gallery = embedded(page, "gallery")
    last = sets["i02"]

    for item in gallery["items"]:
        row = last.instances.index[last.instances["image"] == item["image"]][0]
        packed = np.frombuffer(base64.b64decode(item["points"]), np.int16).reshape(3, 68, 2)
        inside = packed[2] / 16 / item["scale"]
        apart = inside - last.points[row]
        np.testing.assert_allclose(apart, np.broadcast_to(apart[0], apart.shape), atol=0.1)  # all by the crop's corner
        coded = np.frombuffer(base64.b64decode(item["evidence"]), np.uint8).reshape(3, 68, -1)
        for column, (name, full) in enumerate(gallery["evidence"]):
            code, value = coded[2, :, column].astype(float), last.column(name)[row] if name != "reason" else None
            if name in ("peak", "suspicion"):
                np.testing.assert_allclose((code - 1) * full / 254, value.astype(float), atol=0.01)
            if name == "chi2":
                np.testing.assert_allclose(1e-4 * 2 ** ((code - 1) / 12), value.astype(float), rtol=0.04, atol=2e-4)
        assert (coded[0] == 0).sum() > 0  # nobody searched for the human labels


def test_an_image_that_is_gone_is_a_users_mistake_and_leaves_no_report(tmp_path):
    sets = chain(make(tmp_path, ["a.png", "b.png"]))
    (tmp_path / "a.png").unlink()

    with pytest.raises(ImageError, match=r"a\.png: no such image"):
        write(tmp_path / "out", sets, tmp_path, {})

    assert not (tmp_path / "out" / "report").exists()
