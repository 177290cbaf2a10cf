"""How long `lmk audit` takes, and how much memory: `python -m bench.audit --points 1000000 --iterations 10`.

Sets of one shape with noise are written to a temporary folder, a hundred thousand points at a time; the audit runs as a
process of its own, the first time and once more with the table that it has kept.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from lmk.annotations import AnnotationSet
from lmk.scheme import LandmarkScheme, load_scheme
from lmk.store import write_annotations, write_json
from lmk.workspace import Workspace

PART = 1500  # instances that are made at once
SIDE = 256.0


def main() -> None:
    """Make the sets, audit them, and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m bench.audit", description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000, help="of each iteration, about (default a million)")
    parser.add_argument("--iterations", type=int, default=10, help="with the human labels (default 10)")
    parser.add_argument("--json", type=Path, help="keep the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = Workspace(Path(folder) / "cleaned")
        points = make(paths, options.points, options.iterations)
        found: dict[str, Any] = {"points": points, "iterations": options.iterations, "cores": os.cpu_count()}
        for name in ("first", "again"):
            found[name] = measured(paths)
    print(json.dumps(found, indent=2))
    if options.json:
        write_json(found, options.json)


def make(paths: Workspace, points: int, iterations: int) -> int:
    """Write the sets; returns how many points each has."""
    scheme = load_scheme("ibug68")
    count = max(1, points // scheme.size)
    (paths.root / "annotations").mkdir(parents=True)
    for number in range(iterations):
        target = paths.annotations(f"i{number:02d}")
        part_file = paths.root / "part.parquet"
        writer: pq.ParquetWriter | None = None
        for start in range(0, count, PART):
            write_annotations(part(scheme, start, min(PART, count - start), number), part_file)
            table = pq.read_table(part_file)
            writer = writer or pq.ParquetWriter(target, table.schema, compression="zstd", compression_level=3)
            writer.write_table(table)
        assert writer is not None
        writer.close()
        part_file.unlink()
        print(f"{target.name}: {count * scheme.size:,} points", file=sys.stderr)
    return count * scheme.size


def part(scheme: LandmarkScheme, start: int, count: int, number: int) -> AnnotationSet:
    """Some instances of one iteration: a shape with human noise, less of it in every iteration."""
    turn = np.linspace(0, 2 * np.pi, scheme.size, endpoint=False)
    shape = SIDE / 2 + np.stack([np.cos(turn), np.sin(turn)], -1) * SIDE / 3
    human = np.random.default_rng([start, 0]).normal(0, 4, (count, scheme.size, 2))
    fresh = np.random.default_rng([start, number]).normal(0, 1, (count, scheme.size, 2))
    points = shape + (human if number == 0 else human / (1 + number) + fresh / number)
    rows = count * scheme.size
    table = pd.DataFrame(
        {
            "image": np.repeat([f"{start + k:08d}.jpg" for k in range(count)], scheme.size),
            "instance": 0,
            "landmark": np.tile(np.arange(scheme.size), count),
            "x": points[..., 0].ravel(),
            "y": points[..., 1].ravel(),
            "visibility": 2,
            "split": np.repeat(np.where(np.arange(count) % 10 < 8, "train", "val"), scheme.size),
            "iteration": number,
            "width": int(SIDE),
            "height": int(SIDE),
            "box_x": 0.0,
            "box_y": 0.0,
            "box_size": SIDE,
            "annotator": np.repeat(np.char.add("annotator ", (np.arange(count) % 8).astype(str)), scheme.size),
        }
    )
    if number:
        random = np.random.default_rng([start, number, 1])
        names = ("prior_cost", "chi2", "chi2_observed", "peak", "spread", "error_after", "suspicion")
        table = table.assign(**{name: random.uniform(0, 1, rows) for name in names}, at_edge=random.random(rows) < 0.02)
    return AnnotationSet.from_frame(table, scheme, {"producer": "bench"})


def measured(paths: Workspace) -> dict[str, float]:
    """Seconds and peak memory (GiB) of one audit by contour."""
    code = (
        "import resource, sys; from lmk.cli import main; code = main(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "audit",
        str(paths.root),
        "--by",
        "contour",
        "--set",
        "audit.gates={}",
        "--json",
    ]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - started
    assert json.loads(done.stdout)["iterations"]
    kilobytes = int(done.stderr.split()[-1])
    return {"seconds": round(seconds, 1), "gib": round(kilobytes / 2**20, 2)}


if __name__ == "__main__":
    main()
