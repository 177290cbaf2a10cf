"""Commands that make annotation sets and take them elsewhere: render, ingest, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmk.cli.options import PATH, a_set, command, completes, load, meaning, output, parameters, source, strict
from lmk.errors import DataError
from lmk.registry import FORMATS

if TYPE_CHECKING:
    from lmk.annotations import AnnotationSet


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
    examples=["ingest PHOTOS --dry-run", "ingest PHOTOS --format pts --scheme ibug68 -o labels.parquet"],
)
@source
@click.option("--no-images", is_flag=True, help="Read labels alone, for `lmk diff` and for converting.")
@click.option(
    "--protocol",
    metavar="NAME",
    help="SRC is this benchmark: 300w, 300w-private. Faces get its splits, and its subsets as source; what is missing "
    "is said.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what is there: counts, sizes, where positions count from, what is missing, odd or lost.",
)
@output("SET.parquet", "The new annotation set.", required=False)
@parameters
def ingest(
    source: Path,
    form: str | None,
    scheme: str | None,
    pictures: Path | None,
    origin: str | None,
    no_images: bool,
    protocol: str | None,
    dry_run: bool,
    output: Path | None,
    profile: str | None,
    settings: tuple[str, ...],
) -> None:
    """Read images and human labels into an annotation set.

    Every image is opened and every label checked.
    """
    from lmk.console import Progress
    from lmk.ingest import ingest_data
    from lmk.store import making, write_annotations
    from lmk.survey import in_words
    from lmk.validation import Place, enforce, validate

    if protocol is not None:
        from lmk.protocols.layout import arranged, protocol_named

        form, scheme = form or protocol_named(protocol).format, scheme or protocol_named(protocol).scheme
    params = load(profile, settings, root=source, format=form, scheme=scheme, images=pictures, origin=origin)

    def read() -> AnnotationSet:
        """The labels as they are asked for."""
        annotations = ingest_data(params.data, Progress("reading labels", "images"), images=not no_images)
        if protocol is None:
            return annotations
        annotations, said = arranged(protocol_named(protocol), annotations)
        for line in said:
            print(f"{source}: {line}", file=sys.stderr)
        return annotations

    if dry_run:
        annotations = read()
        print(f"{source}\n{in_words(annotations)}")
        for outcome in validate(annotations, params.validation).broken:
            print(f"  refused: {outcome.check}: {outcome.failed} times, first {' '.join(outcome.first[0].split())}")
        return
    if output is None:
        raise click.UsageError("say where the set goes with -o SET.parquet, or look first with --dry-run")
    with making(output):
        annotations = read()
        enforce(annotations, params.validation, Place(output.stem, output.parent / "rejected"))
        write_annotations(annotations, output)
    print(f"{output}: {annotations.describe()}")


@command(
    leaves="Leaves the labels alone, in TARGET; names of images start from the dataset's folder. Evidence and "
    "provenance stay in the Parquet file. With --back-into TARGET is a copy of SRC's label files in which moved points "
    "have new numbers, and every other byte is as it was.",
    examples=[
        "export labels.parquet --to coco -o labels.json",
        "export cleaned --back-into PHOTOS/labels.json -o cleaned.json",
        "export cleaned --to cvat --top 200 -o to-review.xml",
    ],
)
@a_set(metavar="SET.parquet|DIR", what="An annotation set, or the folder of a cleaning: the labels that hold there.")
@click.option(
    "--to", "--format", "form", metavar="NAME", shell_complete=completes(FORMATS), help="What to write: `lmk formats`."
)
@click.option(
    "--back-into", "into", type=PATH, metavar="SRC", help="What the set was read from; only numbers change in it."
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the N most doubtful images, the most doubtful first, to be reviewed: `lmk review import`.",
)
@strict
@output("TARGET", "A new folder, or a new file where the format is one file.")
def export(labels: Path, form: str | None, into: Path | None, top: int | None, is_strict: bool, output: Path) -> None:
    """Write a set for other people's tools, or back into the file that it came from."""
    from lmk.formats.exchange import format_named, looks_like, write, write_back_into
    from lmk.history.review import handed_out, most_doubtful
    from lmk.store import making

    annotations, before = handed_out(labels)
    if top is not None:
        annotations = most_doubtful(annotations, top)
    if into is not None:
        source = format_named(form or annotations.provenance.get("format") or looks_like(into)[0].name)
        with making(output):
            moved = write_back_into(source, into, before, annotations, output)
        print(f"{output}: {into} with {moved:,} points moved")
        return
    if form is None:
        raise click.UsageError("say what to write with --to, or --back-into what the set was read from")
    target = format_named(form)
    with making(output):
        losses = write(target, annotations, output, strict=is_strict)
    for loss in losses:
        print(f"{output}: {loss}", file=sys.stderr)
    print(f"{output}: {len(annotations.instances)} instances as {form}")


@command(
    leaves="Leaves the labels in DST, and says what could not be carried over.",
    examples=[
        "convert annotations.xml labels.json --to coco",
        "convert labels.csv yolo --from deeplabcut --to yolo --images PHOTOS --strict",
    ],
)
@click.argument("source", type=PATH, metavar="SRC", help="Folder of images and labels, or one file of labels.")
@click.argument("target", type=PATH, metavar="DST", help="A new folder, or a new file where the format is one file.")
@click.option("--from", "form", metavar="NAME", shell_complete=completes(FORMATS), help="What SRC is.")
@click.option("--to", required=True, metavar="NAME", shell_complete=completes(FORMATS), help="What to write.")
@meaning
@strict
def convert(
    source: Path,
    target: Path,
    form: str | None,
    to: str,
    scheme: str | None,
    pictures: Path | None,
    origin: str | None,
    is_strict: bool,
) -> None:
    """Take labels from one format into another; images stay where they are."""
    from lmk.console import Progress
    from lmk.formats.exchange import format_named, write
    from lmk.ingest import converted
    from lmk.store import making

    writer = format_named(to)
    params = load(None, (), root=source, format=form, scheme=scheme, images=pictures, origin=origin)
    with making(target):
        annotations = converted(params.data, writer.sized, Progress("reading sizes", "images"))
        losses = write(writer, annotations, target, strict=is_strict)
    for loss in losses:
        print(f"{target}: {loss}", file=sys.stderr)
    print(f"{target}: {annotations.describe()} as {to}")


@command(
    leaves="Leaves nothing: it prints what every format can carry, and where its positions count from.",
    examples=["formats", "formats coco"],
)
@click.argument(
    "name", required=False, metavar="NAME", help="Say more about this one.", shell_complete=completes(FORMATS)
)
def formats(name: str | None) -> None:
    """List the formats that labels can be read from and written to."""
    from lmk.formats.table import about, table

    print(about(name) if name else table())


COMMANDS = (render, ingest, convert, export, formats)
