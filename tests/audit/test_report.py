"""The report as a reader meets it: opened in a real browser, with names that are meant to hurt."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from lmk.annotations import EVIDENCE, AnnotationSet, default_boxes, make_set
from lmk.audit.report import write_report
from lmk.errors import ImageError
from lmk.scheme import load_scheme, parse_scheme
from tests.audit.browser import browser, find_chromium

# A legal path: a folder `<script>alert(1)<` with a file in it.
HOSTILE = ["<script>alert(1)</script>.png", 'train/"><img src=x onerror=alert(2)>.png', "train/a&amp;b {{ 7*7 }}.jpg"]
SIZE = 160
TABLE = {"interocular": {"nme": 5.5, "auc": 0.4, "failure_rate": 0.1}, "box": {"nme": 3.1}, "points": 900}
BETTER = {"interocular": {"nme": 2.2, "auc": 0.7, "failure_rate": 0.0}, "box": {"nme": 1.2}, "points": 900}
METRICS = {
    "headline": {"normaliser": "interocular", "failure": 8.0},
    "labels": {
        "i00": {**TABLE, "gross": {**TABLE, "points": 12}},
        "i01": {**BETTER, "gross": BETTER},
        "i02": {**TABLE, "gross": None},
    },
    "detector": {"i00": {"truth": TABLE, "human": TABLE}, "i01": {"human": BETTER}},
    "downstream": {
        "hourglass": {"human": {"truth": TABLE, "human": TABLE}, "refined": {"truth": BETTER, "human": TABLE}},
        "resnet": {"human": {"human": TABLE}, "refined": {"human": TABLE}},
    },
}
LINKS = {"validation of <i00>": "data_docs/i00/summary.html"}

needs_browser = pytest.mark.skipif(find_chromium() is None, reason="needs chromium (or chrome) on the PATH")


def oval_faces(count, seed):
    """(count, 68, 2): something face-like, with every contour where it belongs."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    shape = np.column_stack([np.cos(angle) * (1 + np.arange(68) % 5 / 10), np.sin(angle)])
    random = np.random.default_rng(seed)
    return SIZE / 2 + shape * random.uniform(40, 55, (count, 1, 1)) + random.normal(0, 1, (count, 68, 2))


def make(folder: Path | None, names=HOSTILE, scheme=None, points=None) -> AnnotationSet:
    """Human labels of one instance an image, with noise for pixels; all train but the last."""
    scheme = scheme or load_scheme("ibug68")
    points = oval_faces(len(names), 1) if points is None else points
    table = pd.DataFrame(
        {
            "image": np.repeat(np.array(names, dtype=object), scheme.size),
            "instance": 0,
            "landmark": np.tile(np.arange(scheme.size), len(names)),
            "split": np.repeat(["train"] * (len(names) - 1) + ["test"], scheme.size),
            "x": points[..., 0].reshape(-1),
            "y": points[..., 1].reshape(-1),
        }
    )
    if folder is not None:
        for number, name in enumerate(names):
            pixels = np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(cv2.imencode(Path(name).suffix, pixels)[1].tobytes())
        boxes = np.repeat(default_boxes(points, 1.25), scheme.size, axis=0)
        table = table.assign(width=SIZE, height=SIZE, box_x=boxes[:, 0], box_y=boxes[:, 1], box_size=boxes[:, 2])
    return make_set(table, scheme, {"producer": "test <b>ingest</b>"}, "here")


def search(before: AnnotationSet, number: int) -> AnnotationSet:
    """The next iteration: points of train moved at random, with evidence."""
    random = np.random.default_rng(number)
    chosen = before.in_split("train")[:, None]
    points = before.points + np.where(chosen[..., None], random.normal(0, 3 / number, before.points.shape), 0)
    evidence = {name: np.where(chosen, random.uniform(0, 1, points.shape[:2]), np.nan) for name in EVIDENCE}
    evidence["at_edge"] = np.where(chosen, evidence["at_edge"] > 0.8, np.nan)
    return before.moved(points, number, evidence, {"producer": "test refine", "parameters": {"window": 17.0}})


def chain(human: AnnotationSet, length=2) -> dict[str, AnnotationSet]:
    sets = {"i00": human}
    for number in range(1, length + 1):
        sets[f"i{number:02d}"] = search(sets[f"i{number - 1:02d}"], number)
    return sets


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(chain(make(folder / "images")), folder / "images", METRICS, folder / "out" / "index.html", LINKS)
    return folder / "out" / "index.html"


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_asks_for_nothing_prints_nothing_and_fits_its_window(report, tmp_path, width, dark):
    with browser(tmp_path) as page:
        page.open(report.as_uri(), width, dark)

        assert page.requests[0] == report.as_uri()
        assert {url.split(":")[0] for url in page.requests[1:]} == {"data"}
        assert page.messages == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", colour)[:3])) < 200) == dark


@needs_browser
def test_the_browser_of_these_tests_sees_requests_and_messages_where_there_are_any(tmp_path):
    page_file = tmp_path / "loud.html"
    page_file.write_text("<img src='missing.png'><script>console.log('hello')</script>", encoding="utf-8")
    with browser(tmp_path / "profile") as page:
        page.open(page_file.as_uri())

    assert any(url.endswith("missing.png") for url in page.requests)
    assert any("hello" in message for message in page.messages)


@needs_browser
def test_the_policy_of_the_page_blocks_scripts_and_foreign_pictures_should_one_ever_get_in(report, tmp_path):
    poisoned = tmp_path / "poisoned.html"
    extra = "<script>document.title = 'owned'</script><img src='http://127.0.0.1:9/x.png'></body>"
    poisoned.write_text(report.read_text(encoding="utf-8").replace("</body>", extra), encoding="utf-8")
    with browser(tmp_path / "profile") as page:
        page.open(poisoned.as_uri())

        assert page.evaluate("document.title") == "What moved: i00 to i02"
        assert any("Content Security Policy" in message for message in page.messages)


@needs_browser
def test_names_from_the_data_are_shown_as_they_are(report, tmp_path):
    with browser(tmp_path) as page:
        page.open(report.as_uri())
        shown = page.evaluate("document.body.textContent")
        pictures = page.evaluate("document.querySelectorAll('figure image').length")
        drawn = page.evaluate(
            "Promise.all([...document.querySelectorAll('figure image')].map(i => { const m = new Image();"
            " m.src = i.href.baseVal; return m.decode().then(() => m.naturalWidth) }))"
        )
        inserted = page.evaluate("document.querySelectorAll('script, img, body b:empty:not([class])').length")

    for name in HOSTILE[:2]:  # the third is test and never searched
        assert name in shown
    assert HOSTILE[2] not in shown
    assert "test <b>ingest</b>" in shown
    assert "validation of <i00>" in shown
    assert inserted == 0
    assert pictures == 24
    assert set(drawn) == {256}


def test_names_of_landmarks_and_schemes_are_escaped(tmp_path):
    scheme = parse_scheme('{"name": "<s>", "points": ["<script>x</script>", "b", "c"], "contours": [[0, 1]]}', "s")
    human = make(tmp_path, ["a.png", "b.png"], scheme, np.random.default_rng(0).uniform(30, 130, (2, 3, 2)))

    write_report(chain(human), tmp_path, {}, tmp_path / "index.html", {})

    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;x&lt;/script&gt;" in page
    assert page.count("<figure>") == 3


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


def test_the_same_sets_give_the_same_bytes_and_no_large_file(report, tmp_path):
    write_report(chain(make(tmp_path / "images")), tmp_path / "images", METRICS, tmp_path / "index.html", LINKS)

    assert (tmp_path / "index.html").read_bytes() == report.read_bytes()
    assert report.stat().st_size < 3_000_000


@pytest.mark.parametrize("metrics", [{}, {"headline": {"normaliser": "box", "failure": 8.0}, "labels": {}}])
def test_a_set_made_without_images_leaves_the_pictures_out_and_says_why(tmp_path, metrics):
    write_report(chain(make(None)), tmp_path, metrics, tmp_path / "index.html", {})

    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "made without images" in page
    assert "<figure>" not in page
    assert "Drift by landmark" in page
    assert "Did it help?" not in page


def test_a_set_without_anything_to_search_has_a_report_too(tmp_path):
    human = make(tmp_path)
    sets = chain(human.select(human.in_split("test")), length=1)

    write_report(sets, tmp_path, {}, tmp_path / "index.html", {})

    assert "No point moved." in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_human_labels_alone_and_a_search_that_moved_nothing_have_a_report_too(tmp_path):
    human = make(tmp_path)
    kept = human.moved(human.points, 1, {}, {})

    write_report({"i00": human}, tmp_path, METRICS, tmp_path / "one.html", {})
    write_report({"i00": human, "i01": kept}, tmp_path, {}, tmp_path / "two.html", {})

    assert "nothing has moved yet" in (tmp_path / "one.html").read_text(encoding="utf-8")
    assert "No point moved." in (tmp_path / "two.html").read_text(encoding="utf-8")


def test_missing_points_are_left_out_of_everything_and_no_one_instance_fills_the_page(tmp_path):
    names = [f"{k:02d}.png" for k in range(12)]
    points = oval_faces(12, 2)
    points[:, 5] = np.nan
    human = make(tmp_path, names, points=points)
    sets = chain(human)
    far = sets["i02"].points.copy()
    far[3] += 9
    sets["i02"] = sets["i02"].moved(far, 2, {}, {})

    write_report(sets, tmp_path, {}, tmp_path / "index.html", {})

    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, re.DOTALL)
    assert len(captions) == 24
    assert sum("03.png" in caption for caption in captions) == 3
    assert "jaw_05" not in page
    assert not re.search(r"\bnan\b", re.sub(r"base64,[^\"]*", "", page))


def test_an_image_that_is_gone_is_a_users_mistake_and_leaves_no_report(tmp_path):
    sets = chain(make(tmp_path, ["a.png", "b.png"]))
    (tmp_path / "a.png").unlink()

    with pytest.raises(ImageError, match=r"a\.png: no such image"):
        write_report(sets, tmp_path, {}, tmp_path / "out" / "index.html", {})

    assert not (tmp_path / "out").exists()
