"""What the `data.yaml` of a YOLO pose dataset says: points of an object, their names, and where images lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from lmk.config.yaml_text import parse_yaml
from lmk.errors import ConfigError, DataError, FormatError
from lmk.formats.base import Losses
from lmk.formats.edges import contours_of, edges_of
from lmk.formats.source import Source
from lmk.images import SUFFIXES
from lmk.limits import LIST_BYTES, PARAMETER_BYTES, POINTS
from lmk.names import Folder
from lmk.scheme import LandmarkScheme, parse_scheme

KEY = "kpt_shape"
SPLIT_KEYS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
_WANTED = "expected kpt_shape: [K, 2] or [K, 3], and train, val or test"


@dataclass(frozen=True)
class Described:
    """What a `data.yaml` says.

    Attributes:
        file: it; the dataset's folder is where it lies.
        points: K.
        numbers: of each point, 2 or 3.
        scheme: where landmarks have names.
        splits: folders and lists of images, as they are written, by split.
        lost: edges of the skeleton that are no contour.
    """

    file: Path
    points: int
    numbers: int
    scheme: LandmarkScheme | None
    splits: dict[str, list[str]]
    lost: list[tuple[int, int]]


def yaml_of(path: Path) -> Path:
    """The description of a dataset: the file itself, or that in a folder."""
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"{path}: no such folder; format yolo reads a folder with data.yaml in it")
        return path
    if (path / "data.yaml").is_file():
        return path / "data.yaml"
    found = sorted(file for ending in ("*.yaml", "*.yml") for file in path.glob(ending))
    if len(found) != 1:
        what = f"several .yaml files in it, {found[0].name} and {found[1].name}; name one" if found else "no data.yaml"
        raise DataError(f"{path}: {what}; format yolo reads the folder with data.yaml in it, or that file")
    return found[0]


def described(source: Source) -> Described:
    """Read it."""
    file = yaml_of(source.path)
    try:
        raw = parse_yaml(source.text(file, PARAMETER_BYTES), str(file), "not YAML")
    except ConfigError as cause:
        raise FormatError(str(cause)) from cause
    shape: Any = raw.get(KEY) if isinstance(raw, dict) else None
    if not _numbers(shape, 2) or not 0 < shape[0] <= POINTS or shape[1] not in (2, 3):
        raise FormatError(f"{file}: {KEY} is {shape!r:.60}; {_WANTED}")
    splits: dict[str, list[str]] = {}
    for key, split in SPLIT_KEYS.items():
        if raw.get(key):
            places = raw[key] if isinstance(raw[key], list) else [raw[key]]
            if not all(isinstance(place, str) and "\0" not in place for place in places):
                raise FormatError(f"{file}: {key} is {raw[key]!r:.60}; expected a folder of images, or a list of them")
            splits[split] = splits.get(split, []) + places
    if not splits:
        raise FormatError(f"{file}: says of no split where its images are; {_WANTED}")
    scheme, lost = _scheme(raw, shape[0], file)
    return Described(file, shape[0], shape[1], scheme, splits, lost)


def _numbers(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(isinstance(k, int) and k is not True for k in value)


def _scheme(raw: dict[str, Any], count: int, file: Path) -> tuple[LandmarkScheme | None, list[tuple[int, int]]]:
    """Names of landmarks, mirror pairs and contours, where landmarks have names."""
    named = raw.get("kpt_names", raw.get("node_names"))
    if isinstance(named, dict):  # by class; those of the first
        named = next(iter(named.values()), None)
    if named is None:
        return None, []
    names = [str(name) for name in named] if isinstance(named, list) else []
    if len(names) != count or len(set(names)) < count:
        raise FormatError(f"{file}: names of landmarks are {named!r:.60}; expected {count} different ones")
    about: dict[str, Any] = {"name": file.resolve().parent.name if file.name == "data.yaml" else file.stem}
    if "flip_idx" in raw:
        flip = raw["flip_idx"]
        if not _numbers(flip, count) or sorted(flip) != list(range(count)) or any(flip[flip[k]] != k for k in flip):
            raise FormatError(
                f"{file}: flip_idx is {flip!r:.60}; expected the mirror partner of each of {count} points"
            )
        about["mirror"] = [[k, other] for k, other in enumerate(flip) if k < other]
    edges = raw.get("skeleton") or []
    if not isinstance(edges, list) or not all(
        _numbers(edge, 2) and 0 <= min(edge) <= max(edge) < count for edge in edges
    ):
        raise FormatError(f"{file}: skeleton is {edges!r:.60}; expected pairs of points from 0 to {count - 1}")
    about["contours"], lost = contours_of(edges)
    return parse_scheme(json.dumps({**about, "points": names}), str(file)), lost


def as_text(scheme: LandmarkScheme, splits: list[str]) -> str:
    """A `data.yaml` for labels in lists of images called `train.txt` and so on."""
    lines = [
        *(f"{split}: {split}.txt" for split in splits), f"{KEY}: [{scheme.size}, 3]",
        *([f"flip_idx: {scheme.flip.tolist()}"] if scheme.says_mirror else []),
        "names:", "  0: object",
    ]  # fmt: skip
    if any(not name.removeprefix("p").isdigit() for name in scheme.names):
        lines += ["kpt_names:", f"  0: {json.dumps(scheme.names, ensure_ascii=False)}"]
    if scheme.contours:
        lines.append(f"skeleton: {[list(edge) for edge in edges_of(scheme.contours)]}")
    return "\n".join(lines) + "\n"


@dataclass
class Images:
    """The images of a dataset, in order, and the lists that name them."""

    source: Source
    found: Described
    losses: Losses
    lists: list[Path] = field(default_factory=list)
    _there: list[str] | None = None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Each image and its split."""
        seen: dict[str, str] = {}
        for split, places in self.found.splits.items():
            for place in places:
                for name in self._of(place):
                    if name not in seen:
                        seen[name] = split
                        yield name, split
                    elif seen[name] != split:
                        self.losses.add("images that are in another split as well", 1, name)

    @property
    def folder(self) -> Path:
        """The dataset's folder."""
        return self.found.file.parent

    def _of(self, place: str) -> list[str]:
        """The images of a folder, or of a list."""
        place = place.replace("\\", "/").removeprefix("../")  # Roboflow writes ../train/images for train/images
        if Path(place).is_absolute() or ":" in place:
            raise FormatError(
                f"{self.found.file}: {place!r:.60} is a place on the machine that it was made on; name "
                "folders and lists relative to this file"
            )
        place = str(PurePosixPath(place))
        if place.endswith(".txt"):
            return self._listed(place)
        prefix = "" if place == "." else f"{place}/"
        if self._there is None:
            root = Source(self.source.image_folder, self.source.links)
            if not root.path.is_dir():
                raise DataError(f"{root.path}: no such folder; format yolo looks for its images there")
            self._there = [root.name(file) for file in root.files(*SUFFIXES)]
        found = [name for name in self._there if name.startswith(prefix)]
        if not found:
            raise DataError(f"{self.source.image_folder / place}: no images in it; {self.found.file} names it")
        return found

    def _listed(self, place: str) -> list[str]:
        file = Folder(self.folder, self.source.links).file(place)
        self.lists.append(file)
        inside = PurePosixPath(place).parent
        names = []
        for line in self.source.text(file, LIST_BYTES).replace("\r", "\n").split("\n"):
            name = line.strip().replace("\\", "/")
            if name:
                names.append(str(inside / name[2:]) if name.startswith("./") else name)
        return names


def label_of(image: str) -> str:
    """The label file of an image: beside it, and for the last folder called images below one called labels."""
    path = PurePosixPath(image)
    folders = list(path.parts[:-1])
    if "images" in folders:
        folders[len(folders) - 1 - folders[::-1].index("images")] = "labels"
    stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
    return str(PurePosixPath(*folders, f"{stem}.txt"))
