"""What is fuzzed: a good folder, which of its files are changed and how, and who reads it then."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lmk.annotations import AnnotationSet, default_boxes, make_set
from lmk.audit.drift import compare, format_compare
from lmk.audit.log import format_log, log_rows
from lmk.audit.numbers import audited, format_audit
from lmk.audit.results import Audit, read_audit
from lmk.config import default_profile, load_params
from lmk.crops import Cache
from lmk.errors import LmkError
from lmk.evaluation import format_metrics
from lmk.formats import exchange
from lmk.history import ledger
from lmk.history.sql import asking, condition
from lmk.history.suspects import format_suspects, suspects
from lmk.images import SUFFIXES, crop
from lmk.ingest import ingest
from lmk.models.resnet import ResNetParams
from lmk.models.store import build_model, is_whole, load_model, read_curve, save_model
from lmk.notebook import read as read_anything
from lmk.records import Metrics, read_metrics
from lmk.report.page import write_report
from lmk.report.summary import in_words, summarise
from lmk.scheme import load_scheme, parse_scheme
from lmk.store import read_annotations, write_annotations, write_json
from lmk.synth.sheet import contact_sheet
from lmk.training.loop import CHECKPOINT, _optimiser, _Run
from lmk.training.starting import read_weights
from lmk.truth import read_truth
from lmk.workspace import Workspace
from pipelines.rwlock import mend
from tests.formats.dlc_h5 import as_h5
from tests.fuzz import benchmarks, mutations
from tests.fuzz.foreign import LAYOUTS, Layout
from tests.fuzz.mutations import Random

Mutation = Callable[[bytes, Random], bytes]
FACE = parse_scheme(
    json.dumps({"name": "fuzz", "points": ["left", "right", "nose", "chin"], "contours": [[0, 2, 1], [0, 1, 3, 0]],
                "mirror": [[0, 1]], "normalisers": {"eyes": [[0], [1]]}}), "fuzz",
)  # fmt: skip
TINY = ResNetParams(kind="resnet", width=2, depth=1, input_size=32)
SQL = [
    "percent > 25", "avg(drift) > 3", "suspicion >= 0.5 AND landmark IN (1, 2)", "image LIKE 'a%' OR name = 'nose'",
    "SELECT count(*) > 3 FROM points WHERE iteration = 'i01'", "abs(along) / nullif(box, 0) BETWEEN 0 AND 1",
]  # fmt: skip
SQL_WORDS = [
    "(", ")", "'", '"', ";", "--", "/*", "*/", ",", "NULL", "1/0", "0", "count(*)", "points", "image", "instance", "x",
    "y", "SELECT", "FROM", "WHERE", "DROP TABLE moves", "INSERT", "COPY points TO 'x'", "ATTACH 'x'", "PRAGMA", "\0",
    "read_csv('/etc/passwd')", "9" * 400, "1e400", "x'", "$1", "?", "AND", "OR", "NOT", "::INT", "::BLOB", "[1, 2]",
    "{'a': 1}", "interval '1' year", "'infinity'::DATE", "-" * 50, "(" * 200, "avg(", "list(x)", "é", "\ud800", "%",
]  # fmt: skip
# Where labels of a format are written, and which files of these are changed.
JSON_FORMATS = {
    "coco": ("labels.json", "faces/labels.json"),
    "label-studio": ("labels.json", "faces/labels.json"),
    "labelme": ("labels", "faces/labels/*.json"),
    "ljson": ("labels", "faces/labels/*.ljson"),
}
WHOLE = {"face_kpts": 68, "foot_kpts": 6, "lefthand_kpts": 21, "righthand_kpts": 21, "keypoints": 17}


@dataclass(frozen=True)
class Target:
    """One reader, or some that read the same.

    Attributes:
        make: writes a good folder.
        files: (pattern of files in it, what is done to one of them); one of these is taken a case.
        read: reads the folder; may return, or raise an LmkError.
        names_file: whether every message has to name a file; of settings and questions none does.
        memory: bytes of address space that reading may take beyond what libraries have; charts reserve a lot.
    """

    make: Callable[[Path], None]
    files: list[tuple[str, Mutation]]
    read: Callable[[Path], object]
    names_file: bool = True
    memory: int = 3 << 30

    def case(self, good: Path, room: Path, rng: Random) -> Callable[[], object]:
        """Copy the good folder, change one file in it, and return what reads it."""
        shutil.copytree(good, room)
        pattern, how = rng.choice(self.files)
        mutations.damaged(rng.choice(sorted(room.glob(pattern))), how, rng)
        return lambda: self.read(room)


def labels() -> AnnotationSet:
    """Three small instances with all columns that readers look at, and boxes."""
    rng = np.random.default_rng(5)
    rows = [
        {"image": image, "instance": instance, "landmark": k, "x": x, "y": y, "annotator": "ann", "source": "s"}
        for image, instance in (("a.png", 0), ("b.png", 0), ("b.png", 1))
        for k, (x, y) in enumerate(rng.uniform(3, 20, (4, 2)))
    ]
    made = make_set(pd.DataFrame(rows), FACE, {"producer": "fuzz", "parent": None}, "fuzz")
    left, top, side = default_boxes(made.points, 1.25).T
    return made.with_columns(width=32, height=24, box_x=left, box_y=top, box_size=side)


def refined() -> AnnotationSet:
    """The same after an iteration, with evidence."""
    before = labels()
    evidence = {"chi2": 0.5, "peak": 0.8, "suspicion": 0.6, "at_edge": False, "reason": "slip", "error_before": 1.0}
    return before.moved(before.points + 0.5, 1, evidence, {"producer": "fuzz", "parent": "x", "stopped": None})


def _write_images(folder: Path) -> None:
    for seed, name in enumerate(("a.png", "b.png")):
        (folder / name).write_bytes(cv2.imencode(".png", mutations.noise(seed))[1].tobytes())


def _scheme(folder: Path) -> None:
    write_json(FACE.to_json(), folder / "scheme.json")


def _read_scheme(folder: Path) -> None:
    scheme = load_scheme(str(folder / "scheme.json"))
    parse_scheme(json.dumps(scheme.to_json()), "again")
    assert scheme.neighbours.shape == (scheme.size, 2)
    assert scheme.flip.shape == (scheme.size,)


def _pts(folder: Path) -> None:
    single = labels()
    single = single.select(single.instances["instance"].to_numpy() == 0)
    exchange.write(exchange.format_named("pts"), single, folder / "faces")
    _write_images(folder / "faces")
    write_annotations(ingest(folder / "faces", "pts", FACE, 1.25), folder / "read.parquet")


def _csv(folder: Path) -> None:
    (folder / "faces").mkdir()
    exchange.write(exchange.format_named("csv"), labels(), folder / "faces" / "labels.csv")
    _write_images(folder / "faces")
    write_annotations(ingest(folder / "faces" / "labels.csv", "csv", FACE, 1.25), folder / "read.parquet")


def _written(form: str, name: str) -> Callable[[Path], None]:
    """A good folder of a format that can say all of the labels."""

    def make(folder: Path) -> None:
        (folder / "faces").mkdir()
        _write_images(folder / "faces")
        exchange.write(exchange.format_named(form), labels(), folder / "faces" / name)
        write_annotations(ingest(folder / "faces" / name, form, FACE, 1.25, False), folder / "read.parquet")

    return make


def _foreign(form: str, layout: Layout) -> Callable[[Path], None]:
    """What writes a good source of a format, and the set that is read from it."""

    def make(folder: Path) -> None:
        some, source = labels(), folder / layout.source
        if not layout.several:
            some = some.select(some.instances["instance"].to_numpy() == 0)
        if source.suffix:
            source.parent.mkdir()
        exchange.write(exchange.format_named(form), some, source)
        _write_images(folder / "faces")
        write_annotations(ingest(source, form, FACE, 1.25), folder / "read.parquet")

    return make


def _whole_body(folder: Path) -> None:
    """A person with all points; hands are read, in two instances."""
    (folder / "faces").mkdir()
    people = [{"id": k, "image_id": 1, "lefthand_valid": True} | {key: [5 + k, 6.5, 2] * n for key, n in WHOLE.items()}
              for k in range(2)]  # fmt: skip
    tree = {"images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 24}], "annotations": people}
    write_json(tree, folder / "faces" / "labels.json")
    read = ingest(folder / "faces" / "labels.json", "coco-wholebody", load_scheme("hand21"), 1.25, False)
    write_annotations(read, folder / "read.parquet")


def _spiga(folder: Path) -> None:
    (folder / "faces").mkdir()
    face = {"bbox": [1, 2, 3, 4], "headpose": None, "ids": [7, 8, 9, 11], "visible": [0.0, 1.0, 1, 0],
            "landmarks": [[1.5, 2], [3, 4], [5, 6], [7, 8.25]]}  # fmt: skip
    faces = [{"imgpath": name} | face for name in ("a.png", "b.png", "b.png")]
    (folder / "faces" / "labels.json").write_text(json.dumps(faces))


def _ingest_hands(folder: Path) -> None:
    ingest(folder / "faces" / "labels.json", "coco-wholebody", load_scheme("hand21"), 1.25, False)


def _dlc_h5(folder: Path) -> None:
    columns = [("ann", name, axis) for name in FACE.names for axis in "xy"]
    made = labels().select(np.array([True, True, False]))
    paths = [(name,) for name in made.instances["image"]]
    (folder / "faces").mkdir()
    as_h5(folder / "faces" / "CollectedData_ann.h5", columns, paths, made.points.reshape(2, -1))
    write_annotations(ingest(folder / "faces", "deeplabcut", FACE, 1.25, False), folder / "read.parquet")


def _ingest(form: str, name: str, with_images: bool) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        made = ingest(folder / name, form, FACE, 1.25, with_images)
        write_annotations(made, folder / "made.parquet")
        read_annotations(folder / "made.parquet")

    return read


def _write_back(form: str, name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        before = read_annotations(folder / "read.parquet")
        after = before.moved(before.points + 0.25, 1, {}, {})
        exchange.write_back(exchange.format_named(form), folder / name, before, after, folder / "back")

    return read


def _file(form: str, name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "faces").mkdir()
        exchange.write(exchange.format_named(form), labels(), folder / "faces" / name)
        _write_images(folder / "faces")
        write_annotations(ingest(folder / "faces" / name, form, FACE, 1.25), folder / "read.parquet")

    return make


def _guess(folder: Path) -> None:
    write_json(FACE.to_json(), folder / "scheme.json")
    read_anything(folder / "faces" / "labels.csv", scheme=str(folder / "scheme.json"), images=False)


def _params(folder: Path) -> None:
    shutil.copy(default_profile(), folder / "params.yaml")


def _set_case(good: Path, room: Path, rng: Random) -> Callable[[], object]:
    """A setting of any field to any text."""
    params = load_params(default_profile()).model_dump()
    path: list[str] = []
    inside: object = params
    while isinstance(inside, dict) and inside and (not path or rng.random() < 0.9):
        path.append(rng.choice(sorted(inside)))
        inside = inside[path[-1]]
    value = mutations.of_json(b'{"a": [1, "b", null, {"c": 1.5}]}', rng).decode("utf-8", "replace")
    text = rng.choice((value, rng.choice(mutations.WORDS), str(mutations.strange(rng)), "&a [*a, *a]", "!!python/x y"))
    setting = f"{rng.choice(('.', '.', '.', '', '..')).join(path)}{rng.choice('====:')}{text}"
    return lambda: load_params(default_profile(), [setting])


def _images(folder: Path) -> None:
    settings = {".jpg": (".jpg", []), ".png": (".png", []), ".bmp": (".bmp", []), ".tif": (".tif", []),
                ".webp": (".webp", []), ".ppm": (".ppm", []), ".pgm": (".pgm", [])}  # fmt: skip
    for ending, (codec, asked) in settings.items():
        (folder / f"a{ending}").mkdir()
        pixels = mutations.noise(3)
        pixels = pixels[..., 0] if ending == ".pgm" else pixels
        (folder / f"a{ending}" / f"a{ending}").write_bytes(cv2.imencode(codec, pixels, asked)[1].tobytes())
        (folder / f"a{ending}" / "a.pts").write_text("n_points: 4\n{\n5 5\n20 6\n12 12\n11 19\n}\n")


def _images_case(good: Path, room: Path, rng: Random) -> Callable[[], object]:
    ending = rng.choice(sorted(set(SUFFIXES) & {path.suffix for path in good.iterdir()}))
    shutil.copytree(good / f"a{ending}", room)
    mutations.damaged(room / f"a{ending}", mutations.of_bytes, rng)

    def read() -> None:
        made = ingest(room, "pts", FACE, 1.25)
        from lmk.images import read_image

        crop(read_image(room / f"a{ending}"), made.boxes[0], 32)

    return read


def _model(folder: Path) -> None:
    curve = pd.DataFrame({"images": [8, 16], "loss": [1.0, 0.5], "val_nme": [None, 3.0], "learning_rate": [0.1, 0.0]})
    save_model(build_model(TINY, FACE, 0), FACE, {"producer": "fuzz", "parameters": {}}, curve, folder / "model")


def _read_model(folder: Path) -> None:
    is_whole(folder / "model", {"producer": "fuzz", "parameters": {}})
    load_model(folder / "model", FACE)
    read_curve(folder / "model")["images"].max()


def _set(folder: Path) -> None:
    write_annotations(labels(), folder / "one.parquet")
    write_annotations(refined(), folder / "other.parquet")


def _read_set(folder: Path) -> None:
    one, other = (read_annotations(folder / f"{name}.parquet") for name in ("one", "other"))
    one.describe(), repr(other), other.frame
    with suppress(LmkError):  # of sets in memory, whose files it does not know
        format_compare(compare(one, other))
    for form, name in (("csv", "out.csv"), ("pts", "out")):
        try:
            exchange.write(exchange.format_named(form), other, folder / name)
        except LmkError:
            continue
    write_annotations(other, folder / "again.parquet")
    read_annotations(folder / "again.parquet")


def _history(folder: Path) -> None:
    paths = Workspace(folder)
    write_annotations(labels(), paths.annotations("i00"))
    write_annotations(refined(), paths.annotations("i01"))
    rows = pd.DataFrame(
        {"image": ["a.png"], "instance": [0], "landmark": [1], "action": ["revert"], "x": [3.0], "y": [4.0],
         "decided_by": ["me"], "why": [None]}
    )  # fmt: skip
    ledger.record(paths.decisions, "i01", rows)


def _read_history(folder: Path) -> None:
    paths = Workspace(folder)
    found = audited(paths, list(paths.files()), {"far": "percent > 25", "mean": "avg(drift) > 3"}, "landmark")
    format_audit(found)
    format_log(log_rows(paths))
    in_words(summarise(paths, list(paths.files()), found))
    with asking(paths) as questions:
        format_suspects(suspects(questions, "i01"))
    write_annotations(ledger.accepted(read_annotations(paths.annotations("i01")), paths.decisions), paths.labels)


def _table(folder: Path) -> None:
    _history(folder)
    with asking(Workspace(folder)):
        pass


def _results(folder: Path) -> None:
    _history(folder)
    paths = Workspace(folder)
    found = audited(paths, ["i00", "i01"], {"far": "percent > 25"}, "landmark")
    write_json(found.as_json(), paths.audit)
    row = {"nme": 1.5, "median": 1.0, "auc": 0.5, "failure_rate": 0.0}
    table = {"points": 12, "threshold": 8.0, "box": row, "eyes": row}
    networks = {"i00": {"truth": table, "human": table}}
    metrics = {
        "headline": {"normaliser": "eyes", "failure": 8.0}, "labels": {"i00": {**table, "gross": table}, "i01": table},
        "detector": networks, "downstream": {"resnet": {"human": networks["i00"], "refined": networks["i00"]}},
    }  # fmt: skip
    write_json(metrics, paths.metrics)
    _write_images(folder)


def _read_results(folder: Path) -> tuple[Audit, Metrics]:
    paths = Workspace(folder)
    found, metrics = read_audit(paths.audit), read_metrics(paths.metrics)
    format_audit(found)
    format_metrics(metrics)
    in_words(summarise(paths, ["i00", "i01"], found))
    return found, metrics


def _read_report(folder: Path) -> None:
    found, metrics = _read_results(folder)
    write_report(Workspace(folder), ["i00", "i01"], found, folder, metrics)


@cache
def _trained() -> tuple[object, ...]:
    """A network with its average and the moments of one step."""
    model = build_model(TINY, FACE, 0)
    averaged = copy.deepcopy(model)
    training = load_params(default_profile()).training
    optimiser = _optimiser(model, training)
    import torch

    model(torch.zeros(2, 3, 32, 32)).sum().backward()
    optimiser.step()
    return model, averaged, optimiser, training


def _checkpoint(folder: Path) -> None:
    model, averaged, optimiser, _ = _trained()
    run = _Run(model, averaged, optimiser)  # type: ignore[arg-type]
    run.step, run.losses = 1, [0.5]
    run.look(8, 3.0, 0.1, 3)
    run.save(folder)


def _read_checkpoint(folder: Path) -> None:
    model, averaged, _, training = _trained()
    model = copy.deepcopy(model)
    run = _Run(model, averaged, _optimiser(model, training))  # type: ignore[arg-type]
    run.resume(folder)
    if run.best is not None:
        copy.deepcopy(averaged).load_state_dict(run.best)  # type: ignore[attr-defined]
    for weight in model.parameters():  # type: ignore[attr-defined]
        weight.grad = weight.detach() * 0
    run.optimiser.step()


def _weights(folder: Path) -> None:
    write_json({"weights": {"left": 1.0, "right": 0.5, "nose": 2, "chin": 1}}, folder / "weights.json")


def _truth(folder: Path) -> None:
    exchange.write(exchange.format_named("csv"), labels(), folder / "truth.csv")
    write_annotations(labels(), folder / "truth.parquet")


def _read_truth(folder: Path) -> None:
    for name in ("truth.csv", "truth.parquet"):
        read_truth(str(folder / name), FACE)


def _rendered(folder: Path) -> None:
    from lmk.synth.write import render_dataset

    render_dataset(folder / "set", {"": 1}, 1, 48, "default", lambda done, total: None)


def _crops(folder: Path) -> None:
    cache = Cache(folder / "c.crops", 3, 8)
    cache.put(1, np.full((8, 8, 3), 7, np.uint8))


def _read_crops(folder: Path) -> None:
    cache, into = Cache(folder / "c.crops", 3, 8), np.empty((8, 8, 3), np.uint8)
    for row in range(3):
        assert not cache.get(row, into) or (into == 7).all()


def _rwlock(folder: Path) -> None:
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    write_json({"artifacts/x": {"read": [{"pid": 1, "cmd": "dvc repro"}]}}, folder / ".dvc" / "tmp" / "rwlock")


class _Sql(Target):
    """Conditions and questions of any words."""

    def case(self, good: Path, room: Path, rng: Random) -> Callable[[], object]:
        words = rng.choice(SQL).split(" ")
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(len(words) + 1)
            words[at : at + rng.choice((0, 1))] = [rng.choice(SQL_WORDS)]
        text = " ".join(words)

        def ask() -> None:
            with asking(Workspace(good)) as questions:
                try:
                    questions.ask(f"SELECT image FROM points WHERE {condition(text)} LIMIT 5", (), text)
                except LmkError:
                    questions.ask(text)

        return ask


class _Case(Target):
    """A target whose cases are a function of their own."""

    def case(self, good: Path, room: Path, rng: Random) -> Callable[[], object]:
        return self.read(good, room, rng)  # type: ignore[call-arg, return-value]


def _mend(folder: Path) -> None:
    mend(folder)


TARGETS: dict[str, Target] = {
    "pts": Target(_pts, [("faces/*.pts", mutations.of_text), ("faces/*.csv", mutations.of_text)],
                  _ingest("pts", "faces", False)),
    "csv": Target(_csv, [("faces/*.csv", mutations.of_text)], _ingest("csv", "faces/labels.csv", False)),
    **{
        name + back: Target(_file(name, file), [("faces/labels.*", how)], read(name, f"faces/{file}"))
        for name, file, how in (
            ("cvat", "labels.xml", mutations.of_xml), ("dlib", "labels.xml", mutations.of_xml),
            ("sleap", "labels.slp", mutations.of_hdf5),
        )
        for back, read in (("", lambda form, file: _ingest(form, file, False)), (" back", _write_back))
    },
    "300w-lp": Target(benchmarks.lp300w, [("faces/*.mat", mutations.of_bytes)], benchmarks.reader("300w-lp", "faces")),
    "aflw": Target(benchmarks.aflw, [("*.sqlite", mutations.of_sqlite)], benchmarks.reader("aflw", "aflw.sqlite")),
    "aflw info": Target(benchmarks.aflw_info, [("*.mat", mutations.of_bytes)],
                        benchmarks.reader("aflw", "AFLWinfo.mat")),
    "cofw": Target(benchmarks.cofw_set, [("*.mat", mutations.of_hdf5)], benchmarks.reader("cofw", "cofw.mat")),
    "pts back": Target(_pts, [("faces/*.pts", mutations.of_text), ("faces/*.csv", mutations.of_text)],
                       _write_back("pts", "faces")),
    "deeplabcut h5": Target(_dlc_h5, [("faces/*.h5", mutations.of_bytes)], _ingest("deeplabcut", "faces", False)),
    "deeplabcut h5 back": Target(_dlc_h5, [("faces/*.h5", mutations.of_bytes)], _write_back("deeplabcut", "faces")),
    "csv back": Target(_csv, [("faces/*.csv", mutations.of_text)], _write_back("csv", "faces/labels.csv")),
    "guess": Target(_csv, [("faces/*.csv", mutations.of_text)], _guess),
    **{form: Target(_written(form, name), [(files, mutations.of_json)], _ingest(form, f"faces/{name}", False))
       for form, (name, files) in JSON_FORMATS.items()},
    **{f"{form} back": Target(_written(form, name), [(files, mutations.of_json)], _write_back(form, f"faces/{name}"))
       for form, (name, files) in JSON_FORMATS.items()},
    "coco-wholebody": Target(_whole_body, [("faces/*.json", mutations.of_json)], _ingest_hands),
    "coco-wholebody back": Target(_whole_body, [("faces/*.json", mutations.of_json)],
                                  _write_back("coco-wholebody", "faces/labels.json")),
    "spiga": Target(_spiga, [("faces/*.json", mutations.of_json)], _ingest("spiga", "faces/labels.json", False)),
    "scheme": Target(_scheme, [("scheme.json", mutations.of_json)], _read_scheme),
    "params": Target(_params, [("params.yaml", mutations.of_text)], lambda folder: load_params(folder / "params.yaml")),
    "set": _Case(lambda folder: None, [], _set_case, names_file=False),  # type: ignore[arg-type]
    "images": _Case(_images, [], _images_case),  # type: ignore[arg-type]
    "model": Target(_model, [("model/config.json", mutations.of_json), ("model/model.*", mutations.of_tensors),
                             ("model/curve.csv", mutations.of_text)], _read_model),
    "sets": Target(_set, [("*.parquet", mutations.of_parquet)], _read_set),
    "history": Target(_history, [("annotations/*", mutations.of_parquet), ("decisions/*/*", mutations.of_parquet)],
                      _read_history),
    "table": Target(_table, [(".work/audit/*.duckdb", mutations.of_bytes)], _read_history),
    "results": Target(_results, [("*.json", mutations.of_json)], _read_results),
    "report": Target(_results, [("*.json", mutations.of_json), ("annotations/*", mutations.of_parquet),
                                ("*.png", mutations.of_bytes)], _read_report, memory=1 << 37),
    "checkpoint": Target(_checkpoint, [(CHECKPOINT, mutations.of_tensors)], _read_checkpoint),
    "weights": Target(_weights, [("*.json", mutations.of_json)], lambda folder: read_weights(folder / "weights.json")),
    "truth": Target(_truth, [("*.csv", mutations.of_text), ("*.parquet", mutations.of_parquet)], _read_truth),
    "sheet": Target(_rendered, [("set/*/*.csv", mutations.of_text), ("set/faces/*.pts", mutations.of_text),
                                ("set/faces/*.jpg", mutations.of_bytes)],
                    lambda folder: contact_sheet(folder / "s.png", folder / "set", 1, 1, 64)),
    "crops": Target(_crops, [("*.crops", mutations.of_bytes)], _read_crops),
    "rwlock": Target(_rwlock, [(".dvc/tmp/rwlock", mutations.of_json)], _mend),
    "sql": _Sql(_table, [], lambda folder: None, names_file=False),
}  # fmt: skip

# Cases that `make test` runs, about fifteen seconds in all: fewer where one takes a twentieth of a second, and none of
# the report, whose charts take seconds to start.
QUICK = {
    "scheme": 300, "weights": 300, "rwlock": 200, "crops": 200, "params": 60, "set": 60, "images": 60, "sheet": 60,
    **dict.fromkeys(JSON_FORMATS, 40), **dict.fromkeys((f"{form} back" for form in JSON_FORMATS), 30),
    "spiga": 30, "coco-wholebody": 30, "coco-wholebody back": 20, "pts": 40, "csv": 40, "pts back": 30, "csv back": 30,
    "truth": 30, "results": 30, "sets": 25, "checkpoint": 20, "sql": 20, "model": 15, "guess": 15,
    "history": 8, "table": 6,
    "cvat": 40, "cvat back": 30, "dlib": 40, "dlib back": 30, "sleap": 40, "sleap back": 30,
    "300w-lp": 60, "aflw": 40, "aflw info": 40, "cofw": 40,
    "deeplabcut h5": 30, "deeplabcut h5 back": 30,
}  # fmt: skip
for _form, _layout in LAYOUTS.items():
    _make = _foreign(_form, _layout)
    TARGETS[_form] = Target(_make, _layout.files, _ingest(_form, _layout.source, False))
    QUICK[_form] = _layout.quick
    if exchange.format_named(_form).write_back is not None:
        TARGETS[f"{_form} back"] = Target(_make, _layout.files, _write_back(_form, _layout.source))
        QUICK[f"{_form} back"] = _layout.quick
