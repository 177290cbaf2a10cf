"""What a SLEAP file says of itself: its version, its skeletons, and the names of its pictures."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from lmk.errors import FormatError
from lmk.formats.edges import contours_of
from lmk.formats.hdf5 import data_at, found, json_of, texts
from lmk.reading import parse_json, whole
from lmk.scheme import LandmarkScheme, parse_scheme

METADATA, VIDEOS, FRAMES, INSTANCES = "metadata", "videos_json", "frames", "instances"
USER, PREDICTED = 0, 1
CENTRES_FROM = 1.1  # format_id; before, positions counted from the corner
_BODY, _SYMMETRY = 1, 2  # kinds of edges
_DRIVE = re.compile(r"[A-Za-z]:/")


@dataclass(frozen=True)
class Skeleton:
    """The landmarks of one kind of animal."""

    name: str
    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    symmetries: tuple[tuple[int, int], ...]

    def scheme(self, where: str) -> LandmarkScheme:
        """Its scheme: edges are contours where they are chains, symmetric nodes are mirror pairs."""
        about: dict[str, Any] = {"name": self.name, "points": list(self.nodes), "contours": contours_of(self.edges)[0]}
        if self.symmetries:
            about["mirror"] = [list(pair) for pair in dict.fromkeys(tuple(sorted(pair)) for pair in self.symmetries)]
        return parse_scheme(json.dumps(about), where)


@dataclass
class Video:
    """A video, or a list of images that SLEAP shows as one."""

    names: tuple[str, ...]  # of its images; of a video, its one file
    is_list: bool
    size: tuple[float, float] = (math.nan, math.nan)  # width and height, where the file says them
    embedded: str = ""  # the data set with its pictures, in a package
    before: str = field(default="", repr=False)  # the folder that all videos share, which is left out of names

    def image(self, frame: int) -> str:
        """The name of one of its pictures."""
        if self.is_list:
            if not 0 <= frame < len(self.names):
                raise ValueError(f"frame {frame} of {len(self.names)} images")
            return self.names[frame].removeprefix(self.before)
        return f"{self.names[0].removeprefix(self.before)}/{frame:06d}"


def format_id(root: Any) -> float:
    """The version of a file's layout."""
    group = found(root, METADATA)
    if group is None or "format_id" not in group.attrs:
        raise FormatError(f"{root.file.filename}: says nothing of its format_id; is it a file of SLEAP?")
    number = float(group.attrs["format_id"])
    if not 1 <= number < 100:
        raise FormatError(f"{root.file.filename}: format_id {number:g} is none that lmk knows")
    return number


def skeletons_of(root: Any) -> list[Skeleton]:
    """All skeletons of a file."""
    where = root.file.filename
    about = json_of(found(root, METADATA) or root, "json")
    with whole(where, "its skeletons are not as SLEAP writes them"):
        nodes = [str(_plain(node)["name"]) for node in about["nodes"]]
        return [_skeleton(skeleton, nodes) for skeleton in about["skeletons"]]


def _plain(node: Any) -> Any:
    """A node as it is, or as an older version pickled it to JSON."""
    return node.get("py/state", node)


def _skeleton(about: Any, all_nodes: list[str]) -> Skeleton:
    numbers = [int(node["id"]) for node in about["nodes"]]
    if any(not 0 <= number < len(all_nodes) for number in numbers):
        raise ValueError("a skeleton has a node that is not there")
    places = {number: place for place, number in enumerate(numbers)}
    kinds: list[int] = []  # in the order in which the file writes them out; later ones only refer to these
    edges: list[tuple[int, int]] = []
    symmetries: list[tuple[int, int]] = []
    for link in about.get("links", []):
        said = link.get("type", {})
        if "py/reduce" in said:
            kinds.append(int(said["py/reduce"][1]["py/tuple"][0]))
            kind = kinds[-1]
        else:
            number = int(said.get("py/id", _BODY))
            kind = kinds[number - 1] if 0 < number <= len(kinds) else number
        pair = (places[int(link["source"])], places[int(link["target"])])
        (symmetries if kind == _SYMMETRY else edges).append(pair)
    name = str(about.get("graph", {}).get("name", "skeleton"))
    return Skeleton(name, tuple(all_nodes[number] for number in numbers), tuple(edges), tuple(symmetries))


def videos_of(root: Any) -> list[Video]:
    """All videos of a file; of a package, what its pictures were taken from."""
    where = root.file.filename
    videos: list[Video] = []
    for text in texts(data_at(root, VIDEOS, "SO")):
        about = parse_json(text, f"{where}: {VIDEOS}")
        with whole(where, f"{VIDEOS} is not as SLEAP writes it"):
            videos.append(_video(about, root, len(videos)))
    shared = _shared([name for video in videos for name in video.names])
    for video in videos:
        video.before = shared
    return videos


def _video(about: Any, root: Any, number: int) -> Video:
    backend = about.get("backend", about)
    name = str(backend.get("filename", about.get("filename", "")))
    shape = backend.get("shape") or []
    size = (float(shape[2]), float(shape[1])) if len(shape) == 4 else (math.nan, math.nan)
    if name == ".":
        embedded = str(backend.get("dataset") or f"video{number}/video")
        source = found(root, f"{embedded.removesuffix('/video')}/source_video")
        source = about.get("source_video") if source is None else json_of(source, "json")
        taken = Video((f"video{number}",), False) if source is None else _video(source, root, number)
        return Video(taken.names, taken.is_list, size if shape else taken.size, embedded)
    if backend.get("filenames"):
        return Video(tuple(_slashes(str(each)) for each in backend["filenames"]), True, size)
    return Video((_slashes(name),), False, size)


def _slashes(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _shared(names: list[str]) -> str:
    """The folder that names have in common, if any of them is absolute; names are relative to it then."""
    if not any(name.startswith("/") or _DRIVE.match(name) for name in names):
        return ""
    folders = [name.rpartition("/")[0].split("/") for name in names]
    common = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "/".join([*common, ""]) if common else ""
