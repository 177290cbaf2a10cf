"""The report as a reader meets it: opened in a real browser, with names that are meant to hurt."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from lmk.annotations import EVIDENCE, AnnotationSet, default_boxes, make_set
from lmk.audit.deciding import decide
from lmk.audit.numbers import audited
from lmk.audit.report import write_report
from lmk.errors import ImageError
from lmk.scheme import load_scheme, parse_scheme
from lmk.store import write_annotations
from lmk.workspace import Workspace
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
REASON = "<img src=x onerror=alert(3)> beards"
GATES = {"never": "drift < 0", "<b>far</b>": "percent > 4", "all": "avg(drift) > 0"}

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


def write(folder: Path, sets, images: Path, metrics, gates=None, reason=None) -> Path:
    """The page of some sets, written as `lmk clean` does; with a reason, landmark 30 is accepted for it."""
    paths = Workspace(folder)
    for name, labels in sets.items():
        write_annotations(labels, paths.annotations(name))
    if reason:
        decide(paths, "accept", "landmark = 30", None, "<u>me</u>", reason, dry_run=False)
    found, _ = audited(paths, list(sets), gates or {})
    write_report(paths, list(sets), found, images, metrics)
    return paths.report


def embedded(page: str, name: str):
    """One of the page's two blocks of JSON."""
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)[1])


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return write(folder / "out", chain(make(folder / "images")), folder / "images", METRICS, GATES, REASON)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Forty small faces in two splits by two annotators, moved twice."""
    folder = tmp_path_factory.mktemp("many")
    names = [f"{number:02d}.png" for number in range(41)]
    human = make(folder / "images", names)
    table = human.table.assign(annotator=np.where(human.table["image"] < "20.png", "ann <1>", "ben"))
    human = AnnotationSet(table, human.scheme, human.provenance)
    return write(folder / "out", chain(human), folder / "images", {}, GATES)


@pytest.fixture
def opened(many, tmp_path):
    """The page of `many` in a browser, its charts drawn."""
    with browser(tmp_path) as page:
        page.open(many.as_uri())
        drawn(page)
        yield page


def drawn(page):
    end = time.monotonic() + 30
    while page.evaluate("document.documentElement.dataset.charts") != "drawn":
        assert time.monotonic() < end, page.messages
        time.sleep(0.05)


def said(page):
    return page.evaluate("document.getElementById('count').textContent")


def focus(page, selector):
    page.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")


FIRST = "#cards figure:first-child"


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_asks_for_nothing_prints_nothing_and_fits_its_window(report, tmp_path, width, dark):
    with browser(tmp_path) as page:
        page.open(report.as_uri(), width, dark)
        drawn(page)

        assert page.requests[0] == report.as_uri()
        assert {url.split(":")[0] for url in page.requests[1:]} == {"data"}
        assert page.messages == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.querySelectorAll('.chart svg').length") == 7
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
def test_the_policy_of_the_page_blocks_foreign_scripts_and_pictures_should_one_ever_get_in(report, tmp_path):
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
        shown = page.evaluate("document.body.innerText")
        sizes = page.evaluate(
            "Promise.all([...document.querySelectorAll('figure image')].map(i => { const m = new Image();"
            " m.src = i.href.baseVal; return m.decode().then(() => m.naturalWidth) }))"
        )
        focus(page, "#by-landmark")
        for _ in range(31):
            page.press("ArrowDown")
        decided = page.evaluate(f"document.querySelector('{FIRST} .said').textContent")
        inserted = page.evaluate("document.querySelectorAll('main script, img, u, .item b, main b:empty').length")
        provenance = page.evaluate("[...document.querySelectorAll('pre')].map(e => e.textContent).join()")

    for name in HOSTILE[:2]:  # the third is test and never searched
        assert name in shown
    assert HOSTILE[2] not in shown
    assert "<b>far</b>: broken percent > 4" in shown
    assert "test <b>ingest</b>" in provenance
    assert decided.startswith(f"accepted by <u>me</u> ({REASON})")
    assert inserted == 0
    assert sizes == [176, 176]


@needs_browser
def test_the_gallery_is_sorted_and_filtered_with_the_mouse_and_with_the_keyboard(opened):
    assert said(opened) == "24 of 40 shown"
    assert opened.evaluate("document.querySelectorAll('#cards figure').length") == 24
    opened.click("#more")
    assert said(opened) == "40 of 40 shown"
    assert opened.evaluate("document.getElementById('more').hidden")

    focus(opened, "#by-annotator")
    opened.press("ArrowDown")
    assert said(opened) == "20 of 20 shown"
    assert "ann <1>" in opened.evaluate(f"document.querySelector('{FIRST} .note').textContent")
    opened.press("ArrowDown")
    assert said(opened) == "20 of 20 shown"
    assert "ben" in opened.evaluate(f"document.querySelector('{FIRST} .note').textContent")
    focus(opened, "#all")
    opened.press("Enter")
    assert said(opened) == "24 of 40 shown"

    focus(opened, "#by-least")
    opened.press("End")
    assert said(opened) == "no instance meets all of these"
    opened.click("#all")
    focus(opened, "#by-suspected")
    opened.press("End")
    assert int(said(opened).split()[0]) < 10
    opened.press("Home")
    assert said(opened) == "24 of 40 shown"

    focus(opened, "#by-landmark")
    opened.press("ArrowDown", "ArrowDown")
    assert opened.evaluate(f"document.querySelector('{FIRST} select').value") == "1"
    focus(opened, "#by-order")
    opened.press("ArrowDown", "ArrowDown", "ArrowDown")
    assert "00.png" in opened.evaluate(f"document.querySelector('{FIRST} .note').textContent")
    assert opened.messages == []


@needs_browser
def test_a_gate_shows_the_points_that_break_it(opened, many):
    gallery = embedded(many.read_text(encoding="utf-8"), "gallery")
    assert gallery["gates"] == ["<b>far</b>"]
    broken = sum(bool(item["gates"]["<b>far</b>"]) for item in gallery["items"])

    focus(opened, "#by-gate")
    opened.press("ArrowDown")

    assert said(opened).endswith(f"of {broken} shown")
    texts = opened.evaluate("[...document.querySelectorAll('#cards .said')].map(e => e.textContent)")
    percents = [float(re.search(r"\(([\d.]+) % of the box\)", text)[1]) for text in texts]
    assert min(percents) > 3.9


@needs_browser
def test_a_card_goes_through_iterations_points_and_distances(opened, many):
    def way():
        return opened.evaluate(
            f"['x1', 'y1', 'x2', 'y2'].map(n => Number(document.querySelector('{FIRST} .way').getAttribute(n)))"
        )

    def words():
        return opened.evaluate(f"document.querySelector('{FIRST} .said').textContent")

    item = embedded(many.read_text(encoding="utf-8"), "gallery")["items"][0]
    x1, y1, x2, y2 = way()
    size = np.hypot(x2 - x1, y2 - y1) / item["scale"]
    assert float(re.match(r"moved ([\d.]+) px", words())[1]) == pytest.approx(size, abs=0.06)
    assert re.search(r"along its contour, [\d.]+ across; the heatmap peaks there with [\d.]+, spread", words())
    assert "chi² " in words()
    assert "prior cost" in words()

    focus(opened, f"{FIRST} input")
    opened.press("ArrowLeft")
    assert opened.evaluate(f"document.querySelector('{FIRST} output').textContent") == "i01"
    assert way() != [x1, y1, x2, y2]
    opened.press("ArrowLeft")
    assert words() == "the human label"
    assert way() == [x1, y1, x1, y1]
    opened.press("End")
    assert way() == [x1, y1, x2, y2]

    focus(opened, f"{FIRST} button")
    opened.press("Space")
    box = opened.evaluate(f"document.querySelector('{FIRST} svg').getAttribute('viewBox')").split()
    assert (float(box[2]), opened.evaluate(f"document.querySelector('{FIRST} button').ariaPressed")) == (44, "true")
    opened.click(f"{FIRST} button")
    assert opened.evaluate(f"document.querySelector('{FIRST} svg').getAttribute('viewBox')") == "0 0 176 176"

    before = opened.evaluate(f"document.querySelector('{FIRST} select').value")
    other = "20" if before != "20" else "21"
    opened.click(f"{FIRST} circle[data-k='{other}']")
    assert opened.evaluate(f"document.querySelector('{FIRST} select').value") == other
    focus(opened, f"{FIRST} select")
    opened.press("ArrowDown")
    assert opened.evaluate(f"document.querySelector('{FIRST} select').value") == str(int(other) + 1)
    assert opened.messages == []


@needs_browser
def test_the_keyboard_reaches_everything_in_the_order_of_the_page(opened):
    focus(opened, "#by-order")
    reached = []
    for _ in range(9):
        opened.press("Tab")
        reached.append(opened.evaluate("document.activeElement.id || document.activeElement.tagName"))

    assert reached == [
        "by-landmark", "by-annotator", "by-gate", "by-least", "by-suspected", "all", "INPUT", "BUTTON", "SELECT",
    ]  # fmt: skip


@needs_browser
def test_hovering_a_landmark_names_it(opened):
    x, y = opened.middle("document.querySelectorAll('#chart-shape .mark-symbol path')[8]")
    for step in (3, 0):
        opened.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + step, y=y)
    time.sleep(0.3)

    assert "jaw_08" in opened.evaluate("document.querySelector('.vg-tooltip').textContent")


@needs_browser
def test_a_thousand_instances_open_in_three_seconds_and_fit_into_fifteen_megabytes(tmp_path):
    names = [f"{number:04d}.png" for number in range(1200)]
    human = make(tmp_path / "images", names)

    page_file = write(tmp_path / "out", chain(human, 3), tmp_path / "images", {})

    text = page_file.read_text(encoding="utf-8")
    assert page_file.stat().st_size < 15_000_000
    shown = len(embedded(text, "gallery")["items"])
    assert f"{shown:,} of 1,199 instances in which a point moved or is likely a gross error: two of five" in text
    assert shown <= 1000
    with browser(tmp_path / "profile") as page:
        times = []
        for _ in range(3):
            page._loaded = False
            page.open(page_file.as_uri())
            drawn(page)
            times.append(page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart"))
        assert said(page) == f"24 of {shown} shown"
    assert min(times) < 3000, times


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
