"""How fast labels are read, and in how much memory: `python -m bench.ingest --instances 100000`.

A COCO file and a long CSV of the same faces, 68 points each, are written to a temporary folder.  Readers run one after
the other, each in a process of its own: those of lmk part by part, and `pandas.read_csv` of the CSV and pycocotools of
the COCO file, which hold all.  Prints one JSON line each: points a second, seconds by the clock and of a
processor, and peak MiB of resident memory, of which `before_mib` were taken by libraries.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

POINTS = 68
INSTANCES = 100_000
SIDE = 256
FACES = 2  # in an image
PART = 1000  # instances that are made at once


def main() -> None:
    """Write both files and measure each reader in a fresh process, or one in this process."""
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=INSTANCES, help=f"of {POINTS} points (default {INSTANCES:,})")
    parser.add_argument("--reader", choices=READERS, action="append", help="only this one (may be repeated)")
    parser.add_argument("--late", action="store_true", help="images stand behind the annotations")
    parser.add_argument("--folder", type=Path, help="keep the files here, and take those that are there")
    parser.add_argument("--here", choices=READERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measured(options.here, options.folder, options.instances)), flush=True)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        chosen = options.reader or list(READERS)
        if any("csv" not in name for name in chosen) and not (folder / "coco.json").exists():
            write_coco(folder / "coco.json", options.instances, options.late)
        if any("csv" in name for name in chosen) and not (folder / "long.csv").exists():
            write_csv(folder / "long.csv", options.instances)
        for name in chosen:
            command = [sys.executable, "-m", "bench.ingest", "--here", name, "--folder", str(folder)]
            command += ["--instances", str(options.instances)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            print(done.stdout, end="", flush=True)


def faces(start: int, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(count, 68, 2) positions with three decimals, as annotation tools write them."""
    random = np.random.default_rng([start, 18])
    turn = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    shape = SIDE / 2 + np.stack([np.cos(turn), np.sin(turn)], -1) * SIDE / 3
    return np.round(shape + random.normal(0, 4, (count, POINTS, 2)), 3)


def write_coco(path: Path, count: int, late: bool) -> None:
    """Write a COCO file, a piece at a time."""
    category = {"id": 1, "name": "face", "keypoints": [f"point {k}" for k in range(POINTS)], "skeleton": []}
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"info": {{}}, "categories": [{json.dumps(category)}]')
        for images in (False, True) if late else (True, False):
            file.write(f', "{"images" if images else "annotations"}": [')
            for start in range(0, count, PART):
                numbers = range(start, min(start + PART, count))
                entries = [image(k) for k in numbers if k % FACES == 0] if images else entries_of(start, len(numbers))
                file.write(", " * (start > 0) + ", ".join(entries))
            file.write("]")
        file.write("}")


def image(number: int) -> str:
    """The image of a face."""
    return json.dumps(
        {"id": number // FACES + 1, "file_name": name_of(number), "width": SIDE, "height": SIDE, "license": 1}
    )


def name_of(number: int) -> str:
    """The name of the image of a face."""
    return f"faces/{number // FACES:08d}.jpg"


def entries_of(start: int, count: int) -> list[str]:
    """Some faces as COCO's annotations."""
    found = []
    for row, points in enumerate(faces(start, count).tolist()):
        said = {"id": start + row + 1, "image_id": (start + row) // FACES + 1, "category_id": 1, "iscrowd": 0,
                "num_keypoints": POINTS, "area": 9000.5, "bbox": [40.0, 40.0, 170.5, 171.25],
                "keypoints": [value for x, y in points for value in (x, y, 2)]}  # fmt: skip
        found.append(json.dumps(said))
    return found


def write_csv(path: Path, count: int) -> None:
    """Write a long CSV of the same faces."""
    with path.open("w", encoding="utf-8") as file:
        file.write("image,instance,landmark,x,y,visibility\n")
        for start in range(0, count, PART):
            for row, points in enumerate(faces(start, min(PART, count - start)).tolist()):
                face = f"{name_of(start + row)},{(start + row) % FACES}"
                file.writelines(f"{face},{k},{x},{y},2\n" for k, (x, y) in enumerate(points))


def by_lmk(form: str, name: str) -> Callable[[Path], int]:
    """A reader of ours, which gives parts."""

    def read(folder: Path) -> int:
        from lmk.formats import exchange
        from lmk.scheme import load_scheme

        parts = exchange.read(exchange.format_named(form), folder / name, load_scheme("ibug68"), with_images=False)
        return sum(len(part.table) for part in parts.parts)

    return read


def by_pandas(folder: Path) -> int:
    """All rows in one table, nothing checked."""
    import pandas as pd

    return len(pd.read_csv(folder / "long.csv"))


def by_pycocotools(folder: Path) -> int:
    """All annotations as Python's objects, nothing checked."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        loaded = COCO(str(folder / "coco.json"))
    return sum(len(annotation["keypoints"]) // 3 for annotation in loaded.anns.values())


def by_ijson(folder: Path) -> int:
    """Annotations one by one, nothing checked and nothing joined."""
    import ijson

    with (folder / "coco.json").open("rb") as file:
        found = ijson.items(file, "annotations.item", use_float=True)
        return sum(len(annotation["keypoints"]) // 3 for annotation in found)


READERS: dict[str, Callable[[Path], int]] = {
    "lmk coco": by_lmk("coco", "coco.json"),
    "lmk csv": by_lmk("csv", "long.csv"),
    "pandas.read_csv": by_pandas,
    "pycocotools": by_pycocotools,
    "ijson": by_ijson,
}


def measured(name: str, folder: Path, count: int) -> dict[str, Any]:
    """Read once, and say what that took."""
    import pandas as pd  # noqa: F401 (before the clock starts: every reader but pycocotools' needs it)

    before, started, worked = peak_mib(), time.monotonic(), time.process_time()
    points = READERS[name](folder)
    seconds, worked = time.monotonic() - started, time.process_time() - worked
    assert points == count * POINTS
    return {
        "reader": name,
        "points": points,
        "points_per_second": round(points / seconds),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(worked, 2),  # a busy machine takes longer than that
        "peak_mib": peak_mib(),
        "before_mib": before,
    }


def peak_mib() -> int:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
