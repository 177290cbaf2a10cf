"""Commands that make annotation sets and take them elsewhere: render, ingest, export."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lmk.cli.options import PATH, a_set, command, completes, load, output, parameters, source, spelt
from lmk.errors import DataError
from lmk.registry import FORMATS


@command(
    leaves="Leaves OUT/faces with images and .pts labels, as an annotator would hand them over, and "
    "OUT/truth/truth.csv with the exact positions, for evaluation only.",
    examples=["render faces --count 700 --splits train=500,val=100,test=100 --sheet faces.png"],
)
@click.argument("out", type=PATH, metavar="OUT", help="A new folder.")
@click.option("--count", type=click.IntRange(min=1), required=True, metavar="N", help="How many faces.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Another seed, other faces. Default: 0."
)
@click.option(
    "--size", type=click.IntRange(min=1), default=128, metavar="PX", help="Side of the square images. Default: 128."
)
@click.option(
    "--noise", default="default", metavar="NAME", help="Of the labels: default, annotators, none, … Default: default."
)
@click.option("--splits", metavar="TEXT", help="Put the faces into splits: train=500,val=100,test=100; sums to N.")
@click.option("--sheet", type=PATH, metavar="PNG", help="Also draw a contact sheet of labels against truth.")
def render(out: Path, count: int, seed: int, size: int, noise: str, splits: str | None, sheet: Path | None) -> None:
    """Draw faces with exact landmarks and noisy human labels."""
    from lmk.console import Progress
    from lmk.store import making
    from lmk.synth.sheet import check_picture, contact_sheet
    from lmk.synth.write import render_dataset

    parts = _parse_splits(splits, count) if splits else {"": count}

    def draw(folder: Path) -> None:
        """The sheet, of a dataset that is not in its place yet: once it is there, nothing is left to do."""
        if sheet:
            inside = sheet.absolute().is_relative_to(out.absolute())
            target = folder / sheet.absolute().relative_to(out.absolute()) if inside else sheet
            contact_sheet(target, folder, rows=3, columns=6, tile=256)

    if sheet:
        check_picture(sheet)
    with making(out):
        render_dataset(out, parts, seed, size, noise, Progress("rendering", "faces"), draw)
    print(f"{out}/faces: images and human labels; {out}/truth: exact positions")


def _parse_splits(text: str, count: int) -> dict[str, int]:
    from lmk.annotations import SPLITS

    try:
        splits = {name: int(number) for name, number in (part.split("=") for part in text.split(","))}
    except ValueError as cause:
        raise DataError(f"--splits {text}: write it as train=500,val=100,test=100") from cause
    if not splits.keys() <= set(SPLITS) or min(splits.values()) < 1 or sum(splits.values()) != count:
        raise DataError(f"--splits {text}: names are {', '.join(SPLITS)}, and the numbers add up to --count {count}")
    return splits


@command(
    leaves="Leaves one Parquet file, SET.parquet: what was labelled, where, in which split, and by whom. A set that is "
    "refused lies beside it, in the folder rejected.",
    examples=["ingest PHOTOS --format pts --scheme ibug68 -o labels.parquet"],
)
@source
@click.option("--no-images", is_flag=True, help="Read labels alone, for `lmk diff` and for converting.")
@output("SET.parquet", "The new annotation set.")
@parameters
def ingest(
    source: Path,
    form: str | None,
    scheme: str | None,
    no_images: bool,
    output: Path,
    profile: str | None,
    settings: tuple[str, ...],
) -> None:
    """Read images and human labels into an annotation set.

    Every image is opened and every label checked.
    """
    from lmk.console import Progress
    from lmk.ingest import ingest
    from lmk.scheme import load_scheme
    from lmk.store import making, write_annotations
    from lmk.validation import Place, enforce

    params = load(profile, settings, root=str(source), format=form, scheme=scheme)
    with making(output):
        annotations = ingest(
            params.data.folder,
            params.data.format,
            load_scheme(params.data.scheme),
            params.data.box_scale,
            not no_images,
            Progress("reading labels", "images"),
        )
        enforce(annotations, params.validation, Place(output.stem, output.parent / "rejected"))
        write_annotations(annotations, output)
    print(f"{output}: {annotations.describe()}")


@command(
    leaves="Leaves the labels alone, in TARGET: .pts files in a new folder, or one long CSV, whose image paths start "
    "from the dataset's folder; put it there to ingest it again. Evidence and provenance stay in the Parquet file.",
    examples=["export labels.parquet --format pts -o cleaned-pts", "export labels.parquet --format csv -o labels.csv"],
)
@a_set(what="An annotation set, refined or not.")
@click.option(
    "--format",
    "form",
    default="pts",
    metavar="NAME",
    shell_complete=completes(FORMATS),
    help=f"What to write ({spelt(FORMATS)}). Default: pts.",
)
@output("TARGET", "A new folder, or a new file where the format is one file.")
def export(labels: Path, form: str, output: Path) -> None:
    """Write a set for other people's tools."""
    from lmk.formats.exchange import format_named, write
    from lmk.store import making, read_annotations

    target = format_named(form)
    annotations = read_annotations(labels)
    with making(output):
        losses = write(target, annotations, output)
    for loss in losses:
        print(f"{output}: {loss}", file=sys.stderr)
    print(f"{output}: {len(annotations.instances)} instances as {form}")


COMMANDS = (render, ingest, export)
