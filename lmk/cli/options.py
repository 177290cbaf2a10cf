"""How a command is declared, and the arguments that mean the same in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lmk.console import run_cleanly
from lmk.errors import DataError
from lmk.registry import FORMATS, ORIGINS, Entry

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lmk.config import Params

Work = Callable[..., None]
Shared = TypeVar("Shared", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)


def command(leaves: str, examples: Sequence[str], name: str | None = None) -> Callable[[Work], click.Command]:
    """Make a command of a function: its docstring is the help, a mistake of the user is one line and an exit code.

    Args:
        leaves: what is there afterwards, as a sentence.
        examples: command lines that work, without `lmk`.
        name: of the command, where it is not the function's.
    """
    shown = "\n".join(f"  lmk {example}" for example in examples)
    title = "Example:" if len(examples) == 1 else "Examples:"

    def declare(work: Work) -> click.Command:
        @wraps(work)
        def cleanly(**arguments: Any) -> None:
            click.get_current_context().exit(run_cleanly(lambda: work(**arguments)))

        epilog = f"{leaves}\n\n\b\n{title}\n{shown}"
        return click.command(name or work.__name__, epilog=epilog, no_args_is_help=False)(cleanly)

    return declare


def together(*declared: Callable[[Any], Any]) -> Callable[[Shared], Shared]:
    """Several options as one decorator, in the order in which help lists them."""

    def add(work: Shared) -> Shared:
        for option in reversed(declared):
            work = option(work)
        return work

    return add


def spelt(known: Mapping[str, Entry], only: Iterable[str] | None = None) -> str:
    """The names of a registry with what each is."""
    return "; ".join(f"{name}: {known[name].says}" for name in (known if only is None else only))


def completes(known: Iterable[str]) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Names that a shell offers; others are left to the command, whose message says what would work."""

    def offer(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in known if name.startswith(start)]

    return offer


meaning = together(
    click.option(
        "--scheme",
        metavar="NAME|FILE",
        help="What the points mean: a name such as ibug68, or a .json file. Default: what SRC says, else the shipped "
        "scheme with as many points.",
    ),
    click.option(
        "--images",
        "pictures",
        type=PATH,
        metavar="DIR",
        help="Folder that the names of images start from. Default: that of the labels.",
    ),
    click.option(
        "--origin",
        type=click.Choice(ORIGINS),
        help="Where positions count from, if not where the format's do: `lmk formats` explains.",
    ),
)
source = together(
    click.argument("source", type=PATH, metavar="SRC", help="Folder of images and labels, or one file of labels."),
    click.option(
        "--format",
        "form",
        metavar="NAME",
        shell_complete=completes(FORMATS),
        help="What SRC is, as `lmk formats` names it. Default: what it looks like.",
    ),
    meaning,
)
strict = click.option(
    "--strict", "is_strict", is_flag=True, help="Write nothing, and exit with 3, if anything would be lost."
)
parameters = together(
    click.option(
        "--params",
        "profile",
        metavar="FILE|PROFILE",
        help="Parameters: a YAML file, or a profile that lmk comes with, such as 300w, the paper's. Default: default.",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="SECTION.FIELD=VALUE",
        help="Change one parameter, as in training.images=8000; may be repeated.",
    ),
)
images = click.option(
    "--images", type=PATH, required=True, metavar="DIR", help="Folder that the image paths of the set start from."
)
seconds = click.option(
    "--seconds",
    type=click.IntRange(1, 86400),
    default=60,
    metavar="N",
    help="How long the question may take. Default: 60.",
)
iteration = click.option("--iteration", metavar="iNN", help="Whose labels it is about. Default: the last.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def a_set(
    name: str = "labels", metavar: str = "SET.parquet", what: str = "An annotation set."
) -> Callable[[Shared], Shared]:
    """The argument that names an annotation set."""
    return click.argument(name, type=PATH, metavar=metavar, help=what)


def output(metavar: str, what: str, required: bool = True) -> Callable[[Shared], Shared]:
    """The option that says where the result goes."""
    return click.option("-o", "--output", type=PATH, required=required, metavar=metavar, help=what)


def _root(context: click.Context, parameter: click.Parameter, path: Path) -> Path:
    """The folder that has a folder `annotations`, of either."""
    return path.parent if path.name == "annotations" and not (path / "annotations").exists() else path


folder = click.argument(
    "folder",
    type=PATH,
    callback=_root,
    metavar="DIR",
    help="What `lmk clean` wrote, or artifacts/ of a pipeline; its folder annotations will do, too.",
)


def load(profile: str | None, settings: Sequence[str], **data: str | Path | None) -> Params:
    """The parameters that a command line asks for; `data` replaces fields of that section."""
    from lmk.config import DataParams, known_profiles, load_params, parse_section, profile_path

    named = profile or "default"
    path = profile_path(named) if named in known_profiles() else Path(named)
    params = load_params(path, settings)
    given = {name: str(value) for name, value in data.items() if value is not None}
    section = parse_section(DataParams, {**params.data.model_dump(), **given}, where="command line")
    return params.changed(data=section)


def existing(path: Path, what: str) -> Path:
    """The path, if there is something."""
    if not path.exists():
        raise DataError(f"{path}: no such {what}")
    return path
