"""Label Studio's JSON: a list of tasks, each an image with its annotations; positions in per cent of the image.

Each annotator's labels are instances of their own.  What is written are predictions, which Label Studio shows as
pre-annotations, for people to correct; these are read where a file has no annotations.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd

from lmk.annotations import AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes
from lmk.formats.instances import renumbered
from lmk.formats.json_places import Span, items, members, rewriting
from lmk.formats.json_sniff import outline
from lmk.formats.json_walk import Element, elements, parsed
from lmk.formats.label_studio_tasks import OURS, Labelled, annotations_of, is_ours, label_of, objects_of, regions_of
from lmk.formats.labels import in_order, landmarks_of
from lmk.formats.pixels import Points, texts_of
from lmk.formats.source import Source
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "percent"
_DECIMALS = 9
_KINDS = ("annotations", "predictions")


def _sniff(path: Path, head: bytes) -> Guess | None:
    seen = outline(head)
    if seen is None or not seen.is_list or not seen.at(2) & {*_KINDS, "completions"}:
        return None
    if "data" in seen.at(2) or "result" in seen.at(4):
        return Guess(0.95, "it is a JSON list of tasks with annotations or predictions, as Label Studio exports it")
    return None


class _Found(NamedTuple):
    """What a first look at a file shows."""

    kind: str  # what is read of it
    labels: list[str]  # in the order of the file; by number, if they are numbers
    several: int  # tasks with more than one annotation
    predictions: int  # that are not read


def _tasks(source: Source) -> Iterator[tuple[Element, dict[str, Any], str]]:
    """All tasks, and what they are called in messages."""
    if not source.path.is_file():
        raise DataError(f"{source.path}: no such file; format label-studio reads one JSON file, as exported")
    for number, element in enumerate(elements(source, source.path, ())):
        task = parsed(element, source.path)
        if not isinstance(task, dict) or not task.keys() & {*_KINDS, "completions"}:
            raise FormatError(
                f"{source.path}: entry {number} is no task with annotations; export as JSON, not JSON-MIN"
            )
        yield element, task, f"{source.path}: task {task.get('id', number)!r:.40}"


def _looked(source: Source, asked: LandmarkScheme | None) -> _Found:
    labels: dict[str, dict[str, None]] = {kind: {} for kind in _KINDS}
    several = predictions = 0
    ours = False
    for _, task, _ in _tasks(source):
        for kind in _KINDS:
            there = [each for each in annotations_of(task, kind) if not each.get("was_cancelled")]
            ours = ours or any(is_ours(each) for each in there)
            for region in (region for each in there for region in regions_of(each)):
                if (label := label_of(region)) is not None:
                    labels[kind].setdefault(label)
            if kind == "annotations":
                several += len(there) > 1
            else:
                predictions += len(there)
    if not any(labels.values()) and not (ours and asked is not None):
        raise FormatError(f"{source.path}: no keypoint with a label in it")
    kind = "annotations" if labels["annotations"] else "predictions"
    return _Found(kind, in_order(labels[kind]), several, predictions if kind == "annotations" else 0)


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    losses, notes = Losses(), list[str]()
    found = _looked(source, asked)
    scheme, numbers = landmarks_of(asked, found.labels, source.path.stem, str(source.path), notes)
    if found.kind == "predictions":
        notes.append("no task has annotations, so predictions are read")
    if found.several:
        notes.append(
            f"{found.several} tasks have several annotations: each annotator's labels are instances of their own, and "
            "the column annotator says whose"
        )
    if found.predictions:
        losses.add("predictions", found.predictions, str(source.path))
    return Reading(_parts(source, found, scheme, numbers, losses), scheme, losses, notes)


def _parts(
    source: Source, found: _Found, scheme: LandmarkScheme, numbers: dict[str, int], losses: Losses
) -> Iterator[Part]:
    held: list[tuple[Labelled, int, str]] = []
    counts: Counter[str] = Counter()
    for _, task, where in _tasks(source):
        for one in objects_of(task, found.kind, where, losses):
            held.append((one, counts[one.image], where.rpartition(": ")[2]))
            counts[one.image] += 1
            if len(held) == max(1, PART_ROWS // scheme.size):
                yield _part(held, source, scheme, numbers, found.kind)
                held = []
    if held:
        yield _part(held, source, scheme, numbers, found.kind)


def _part(
    held: list[tuple[Labelled, int, str]], source: Source, scheme: LandmarkScheme, numbers: dict[str, int], kind: str
) -> Part:
    points = np.full((len(held), scheme.size, 2), np.nan)
    for row, (one, _, _) in enumerate(held):
        for label, position in one.points.items():
            points[row, numbers[label]] = position
    sizes = np.array([one.size or source.image_size(one.image) for one, _, _ in held], np.float64)
    columns: dict[str, Any] = {
        "image": np.array([one.image for one, _, _ in held], object),
        "instance": np.array([instance for _, instance, _ in held]),
        "width": sizes[:, 0],
        "height": sizes[:, 1],
    }
    if kind == "annotations":
        columns["annotator"] = np.array([one.annotator for one, _, _ in held], object)
    table = pd.DataFrame({name: values.repeat(scheme.size) for name, values in columns.items()})
    table = table.assign(landmark=np.tile(np.arange(scheme.size), len(held)))
    places = np.array([place for _, _, place in held], object).repeat(scheme.size)
    return Part(table.assign(x=points[..., 0].ravel(), y=points[..., 1].ravel()), places)


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write a task an image, with all its instances in one prediction."""
    instances = annotations.instances
    starts = np.flatnonzero(~instances["image"].duplicated().to_numpy())
    bounds = [*starts.tolist(), len(instances)]
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write("[\n")
        for start, end in pairwise(bounds):
            file.write(",\n" * (start > 0) + _task(annotations, points, range(start, end)))
        file.write("\n]\n")
    return renumbered(annotations)


def _task(annotations: AnnotationSet, points: Points, rows: range) -> str:
    instances, scheme = annotations.instances, annotations.scheme
    first = instances.iloc[rows[0]]
    about = {
        "to_name": "image",
        "image_rotation": 0,
        "original_width": int(first["width"]),
        "original_height": int(first["height"]),
    }
    result = []
    for row in rows:
        there = annotations.labelled[row]
        low = points[row][there].min(0, initial=1e9) if there.any() else np.zeros(2)
        wide = points[row][there].max(0, initial=-1e9) - low if there.any() else np.zeros(2)
        box = dict(zip(("x", "y", "width", "height"), np.round([*low, *wide], 6).tolist(), strict=True))
        value = {**box, "rotation": 0, "rectanglelabels": [scheme.name]}
        result.append(
            json.dumps({"id": f"{row}", "type": "rectanglelabels", "from_name": "box", **about, "value": value})
        )
        exact = np.round(np.where(there[:, None], points[row], 0), _DECIMALS).astype(np.float64)
        texts = texts_of(exact, _DECIMALS)
        for landmark in np.flatnonzero(there).tolist():
            said = {"id": f"{row}-{landmark}", "parentID": f"{row}", "type": "keypointlabels", "from_name": "keypoints"}
            x, y = texts[landmark]
            name = json.dumps([scheme.names[landmark]], ensure_ascii=False)
            result.append(
                f'{json.dumps({**said, **about})[:-1]}, "value": {{"x": {x}, "y": {y}, "width": 0.5, '
                f'"keypointlabels": {name}}}}}'
            )
    iteration = int(instances["iteration"].iloc[rows[0]])
    address = f"/data/local-files/?d={quote(first['image'])}"
    head = f'{{"data": {json.dumps({"image": address})}, "predictions": [{{"model_version": "{OURS} i{iteration:02d}"'
    return f'{head}, "result": [\n{("," + chr(10)).join(result)}]}}]}}'


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    found, where = _looked(source, changes.scheme), str(source.path)
    _, numbers = landmarks_of(changes.scheme, found.labels, "", where, [])
    counts: Counter[str] = Counter()
    losses = Losses()
    with rewriting(source, source.path, target) as copy:
        for element, task, place in _tasks(source):
            new: dict[tuple[int, int], tuple[float | None, float | None]] = {}
            for one in objects_of(task, found.kind, place, losses):
                row = changes.keys.get((one.image, counts[one.image]))
                counts[one.image] += 1
                if row is None:
                    continue
                labels = {number: label for label, number in numbers.items() if label in one.points}
                for landmark in range(changes.scheme.size):
                    label = labels.get(landmark)
                    position = one.points[label] if label is not None else (np.nan, np.nan)
                    moved = changes.new(row, landmark, position, where)
                    if label is not None and moved != (None, None):
                        new[one.places[label]] = moved
            spans = _spans(element.data, found.kind, new)
            values = [value for pair in new.values() for value in pair]
            copy.numbers(element.start, element.data, spans, values, changes.decimals)
        changes.check_all_seen(where)


def _spans(data: bytes, kind: str, wanted: Any) -> list[Span]:
    """Where x and y of some regions stand in a task."""
    if not wanted:
        return []
    task = members(data)
    key = kind if kind in task and data[task[kind][0] : task[kind][1]].strip(b"[] \t\r\n") else "completions"
    results: dict[int, list[Span]] = {}
    annotations = [span for span in items(data, task[key][0]) if data[span[0] : span[0] + 1] == b"{"]
    found = []
    for annotation, region in wanted:
        if annotation not in results:
            results[annotation] = items(data, members(data, annotations[annotation][0])["result"][0])
        value = members(data, members(data, results[annotation][region][0])["value"][0])
        found += [value["x"], value["y"]]
    return found


LABEL_STUDIO = Format(
    name="label-studio",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.SEVERAL, Trait.NAMES, Trait.SUBPIXEL}),
    sized=True,
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
