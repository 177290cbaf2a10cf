"""What every format can carry, for `lmk formats`."""

from __future__ import annotations

from lmk.formats.base import Format, Trait
from lmk.formats.exchange import format_named
from lmk.formats.pixels import IN_WORDS
from lmk.registry import FORMATS

_WAYS = {"read": "read", "write": "written", "write_back": "written back into"}
SHOWN = {
    Trait.MISSING: "missing",
    Trait.OCCLUSION: "occluded",
    Trait.SEVERAL: "several",
    Trait.NAMES: "names",
    Trait.SPLIT: "split",
    Trait.ANNOTATOR: "annotator",
    Trait.SUBPIXEL: "sub-pixel",
}


def table() -> str:
    """All formats as a table, and what its words mean."""
    forms = [format_named(name) for name in FORMATS]
    head = ["format", "read", "write", "back", "origin", *SHOWN.values()]
    rows = [
        [form.name, *(_mark(getattr(form, way) is not None) for way in _WAYS), form.origin,
         *(_mark(trait in form.carries) for trait in SHOWN)]
        for form in forms
    ]  # fmt: skip
    wide = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "  ".join(f"{cell:{width}s}" for cell, width in zip(row, wide, strict=True)).rstrip() for row in [head, *rows]
    ]
    legend = [f"  {origin:9s} {words}" for origin, words in IN_WORDS.items()]
    return "\n".join(
        [*lines, "", "back: new positions go into the file they came from, and every other byte stays.",
         "origin: where positions count from, unless --origin says otherwise:", *legend,
         "`lmk formats NAME` says more; docs/formats.md has a section for each."]
    )  # fmt: skip


def about(name: str) -> str:
    """One format in words."""
    form = format_named(name)
    ways = [words for way, words in _WAYS.items() if getattr(form, way) is not None]
    lost = [str(trait) for trait in Trait if trait not in form.carries]
    return "\n".join(
        [f"{name}: {FORMATS[name].says}", f"  {_and(ways)}", f"  positions: {IN_WORDS[form.origin]}",
         f"  images: {_images(form)}",
         f"  carries: {', '.join(sorted(map(str, form.carries))) or 'positions alone'}",
         f"  does not carry: {', '.join(lost) or 'nothing is lost'}"]
    )  # fmt: skip


def _images(form: Format) -> str:
    return "in the folder of the labels, or in --images DIR" if form.apart else "beside their labels"


def _mark(is_so: bool) -> str:
    return "yes" if is_so else "-"


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
