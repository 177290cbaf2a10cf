"""The house's directions: who may import whom, and what must not be imported early."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from lmk.registry import FORMATS, NETWORKS, REFINERS
from pipelines.deps import imported_names, modules

# Inner rooms first: a room may import those before it, and itself.
ROOMS = [
    [
        "lmk",
        "lmk.errors",
        "lmk.limits",
        "lmk.reading",
        "lmk.registry",
        "lmk.console",
        "lmk.schemes",
        "lmk.profiles",
        "lmk.provenance",
        "lmk.records",
    ],
    ["lmk.kernels"],
    ["lmk.scheme", "lmk.config", "lmk.columns", "lmk.files", "lmk.names"],
    ["lmk.annotations"],
    ["lmk.store", "lmk.images", "lmk.image_header"],
    ["lmk.formats", "lmk.workspace", "lmk.crops", "lmk.constants"],
    [
        "lmk.models",
        "lmk.ingest",
        "lmk.splits",
        "lmk.synth",
        "lmk.truth",
        "lmk.checks",
        "lmk.verdict_page",
        "lmk.validation",
    ],
    ["lmk.inference"],
    ["lmk.evaluation", "lmk.training", "lmk.history", "lmk.survey"],
    ["lmk.refine", "lmk.audit"],
    ["lmk.report", "lmk.protocols"],
    ["lmk.plan"],
    ["lmk.clean"],
    ["lmk.notebook"],
    ["lmk.cli"],
    ["lmk.__main__"],
    ["pipelines"],
    ["flows", "flows.dvc", "flows.serve"],
    ["flows.outcome"],
    ["flows.retrain"],
]
ALONE = {
    "prefect": ("flows",),
    "dvc": (),
    "great_expectations": ("lmk.validation",),
    "cv2": ("lmk.images", "lmk.synth", "lmk.report.gallery"),
}


def room_of(name):
    return max((len(room), level) for level, rooms in enumerate(ROOMS) for room in rooms
               if name == room or name.startswith(f"{room}."))[1]  # fmt: skip


@pytest.mark.parametrize("name", modules())
def test_imports_go_one_way(name):
    known = modules()
    for other in imported_names(known[name]) & known.keys():
        assert room_of(other) <= room_of(name), f"{name} imports {other}, which is further out"


def test_kernels_import_nothing_of_ours_but_each_other():
    for name, path in modules().items():
        if name.startswith("lmk.kernels."):
            ours = {other for other in imported_names(path) if other.split(".")[0] in ("lmk", "pipelines", "flows")}
            assert all(other.startswith("lmk.kernels") for other in ours), name


def test_the_drawing_in_contributing_has_every_room():
    drawing = Path("CONTRIBUTING.md").read_text(encoding="utf-8").split("## The house")[1].split("```")[1]
    rooms = {
        path.name + "/" * path.is_dir()
        for path in Path("lmk").iterdir()
        if (path.suffix == ".py" or path.is_dir()) and path.name[0] != "_"
    }
    assert {room for room in rooms if room not in drawing} == set()


@pytest.mark.parametrize("library", ALONE)
def test_a_guarded_library_is_imported_in_its_room_alone(library):
    users = {name for name, path in modules().items()
             for other in imported_names(path) if other.split(".")[0] == library}  # fmt: skip
    assert {user for user in users if not user.startswith(ALONE[library])} == set()


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from lmk.cli import main\n"
        "main(['clean', '--help'])\n"
        "heavy = {'torch', 'pandas', 'pyarrow', 'cv2', 'numpy', 'great_expectations', 'prefect', 'dvc', 'pydantic',\n"
        "         'yaml', 'duckdb', 'typer', 'rich'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("Usage: lmk clean")
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("entry", [*NETWORKS.values(), *REFINERS.values()], ids=lambda entry: entry.place)
def test_every_name_of_the_registry_leads_to_what_it_says(entry):
    found = entry.load()

    [kinds] = [get_args(field.annotation) for name, field in found.Params.model_fields.items() if name == "kind"]
    assert {name for name, other in {**NETWORKS, **REFINERS}.items() if other == entry} <= set(kinds)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_the_registry_is_called_what_it_says(name):
    assert FORMATS[name].load().name == name


def test_every_module_says_what_it_is_for():

    for name, path in modules().items():
        assert ast.get_docstring(ast.parse(Path(path).read_text(encoding="utf-8"))), name


# Kernels are formulas, and a command has as many arguments as it has options.
OUTSIDE_THE_MIDDLE = ("lmk.kernels.", "lmk.synth.", "lmk.cli.")
LONGER = {"lmk.annotations": "one class, and how a table becomes one"}


def test_no_function_of_the_middle_has_more_than_six_arguments():
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and not name.startswith(OUTSIDE_THE_MIDDLE):
                arguments = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                assert len([each for each in arguments if each not in ("self", "cls", "ctx")]) <= 6, (
                    f"{name}.{node.name}"
                )


def test_no_module_is_longer_than_300_lines_without_a_reason():
    long = {name for name, path in modules().items() if len(path.read_text().splitlines()) > 300}

    assert long <= LONGER.keys()
