"""What labels are before anything is done with them: how many, of what, what is missing, what looks odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.formats.exchange import format_named
from lmk.formats.pixels import IN_WORDS, OFFSETS
from lmk.registry import Origin

SEVERAL = 3  # points at the very edge, below which it is chance
_SIZES, _NAMED = 3, 5  # sizes of images, and annotators, that are named


def in_words(annotations: AnnotationSet) -> str:
    """A set that was just read, in words."""
    return "\n".join(f"  {line}" for line in _lines(annotations))


def _lines(annotations: AnnotationSet) -> Iterator[str]:
    provenance, scheme = annotations.provenance, annotations.scheme
    yield f"format: {provenance['format']}"
    yield f"positions: {IN_WORDS[_origin(annotations)]}"
    pairs = f", {len(scheme.mirror)} mirror pairs" if scheme.mirror else ""
    yield f"landmarks: {scheme.size} of {scheme.name}, {len(scheme.contours)} contours{pairs}"
    yield f"instances: {annotations.describe()}, in {annotations.instances['image'].nunique()} images"
    if "annotator" in annotations.instances:
        names = annotations.instances["annotator"].dropna().value_counts().index
        if len(names):
            yield f"annotators: {len(names)}, {', '.join(map(str, names[:_NAMED]))}"
    sizes = Counter(annotations.instances[["width", "height"]].dropna().itertuples(index=False, name=None))
    if sizes:
        shown = ", ".join(f"{width} x {height} ({count})" for (width, height), count in sizes.most_common(_SIZES))
        yield f"images: {shown}{f' and {len(sizes) - _SIZES} other sizes' if len(sizes) > _SIZES else ''}"
    yield f"points: {int(annotations.labelled.sum()):,} labelled"
    visibility = annotations.column("visibility")
    for value, what in ((0, "missing"), (1, "occluded")):
        chosen = np.asarray(visibility == value)
        if chosen.any():
            worst = int(chosen.sum(0).argmax())
            yield (
                f"{what}: {int(chosen.sum()):,}, first {_named(annotations, chosen)}; most of all "
                f"{scheme.names[worst]} ({int(chosen[:, worst].sum())})"
            )
    for remark in remarks(annotations):
        yield f"remark: {remark}"


def remarks(annotations: AnnotationSet) -> Iterator[str]:
    """Signs that positions may count from elsewhere, and instances that are hardly labelled; none decides anything."""
    origin = _origin(annotations)
    if origin in OFFSETS:
        yield from _of_numbers(annotations.points + OFFSETS[origin], annotations, origin)
    share = annotations.labelled.mean(1)
    if len(share) and (few := share < min(0.25, float(np.median(share)) / 2)).any():
        row = annotations.instances.iloc[int(np.flatnonzero(few)[0])]
        yield f"{int(few.sum())} instances have hardly a point, first {row['image']} instance {row['instance']}"


def _of_numbers(numbers: NDArray[np.float64], annotations: AnnotationSet, origin: Origin) -> Iterator[str]:
    known = numbers[annotations.labelled]
    if not len(known):
        return
    if (known % 1 == 0).all():
        yield "all positions are whole numbers, as of pixels that are counted"
    if known.min() == 1 and origin != "one":
        yield "the smallest position is 1 exactly: if the first pixel is called 1, say --origin one"
    sizes = annotations.instances[["width", "height"]].to_numpy(np.float64, na_value=np.nan)[:, None]
    if np.isnan(sizes).all():
        return
    at = np.asarray((numbers == sizes).any(-1))
    if origin != "corner" and at.sum() >= SEVERAL:
        yield (
            f"{int(at.sum())} points lie at the width or height of their image exactly, first "
            f"{_named(annotations, at)}: if a drawing program made them, say --origin corner"
        )
    out = np.asarray(((annotations.points < -0.5) | (annotations.points > sizes - 0.5)).any(-1))
    if out.any():
        yield f"{int(out.sum())} points lie outside of their image, first {_named(annotations, out)}"


def _origin(annotations: AnnotationSet) -> Origin:
    said: Origin = annotations.provenance.get("origin") or format_named(annotations.provenance["format"]).origin
    return said


def _named(annotations: AnnotationSet, chosen: NDArray[np.bool_]) -> str:
    row, landmark = np.argwhere(chosen)[0].tolist()
    instance = annotations.instances.iloc[row]
    return f"{instance['image']} instance {instance['instance']} {annotations.scheme.names[landmark]}"
