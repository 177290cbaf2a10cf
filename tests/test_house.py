"""The house's directions: who may import whom, and what must not be imported early."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from lmk.arguments import FORMATS
from lmk.config import Iteration
from lmk.formats import READERS, WRITERS
from lmk.refine import REFINERS
from tests.imports import imported_names, modules

# Inner rooms first: a room may import those before it, and itself.
ROOMS = [
    ["lmk", "lmk.errors", "lmk.progress", "lmk.schemes", "lmk.profiles"],
    ["lmk.kernels"],
    ["lmk.scheme", "lmk.config"],
    ["lmk.annotations"],
    ["lmk.store", "lmk.images"],
    ["lmk.formats", "lmk.workspace", "lmk.ledger"],
    ["lmk.models", "lmk.ingest", "lmk.synth", "lmk.truth", "lmk.validation"],
    ["lmk.dataset"],
    ["lmk.inference"],
    ["lmk.training", "lmk.evaluation"],
    ["lmk.fitting"],
    ["lmk.refine", "lmk.audit"],
    ["lmk.clean"],
    ["lmk.arguments"],
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
    "cv2": ("lmk.images", "lmk.synth", "lmk.audit.gallery"),
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


@pytest.mark.parametrize("library", ALONE)
def test_a_guarded_library_is_imported_in_its_room_alone(library):
    users = {name for name, path in modules().items()
             for other in imported_names(path) if other.split(".")[0] == library}  # fmt: skip
    assert {user for user in users if not user.startswith(ALONE[library])} == set()


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from lmk.cli import parser\n"
        "text = parser().format_help()\n"
        "heavy = {'torch', 'pandas', 'pyarrow', 'cv2', 'numpy', 'great_expectations', 'prefect', 'dvc', 'pydantic'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_formats_that_help_names_are_those_that_there_are():
    assert set(FORMATS) == READERS.keys() == WRITERS.keys()


def test_the_refiners_that_parameters_may_name_are_those_that_there_are():
    assert set(get_args(Iteration.model_fields["refiner"].annotation)) == REFINERS.keys()


def test_every_module_says_what_it_is_for():
    import ast

    for name, path in modules().items():
        assert ast.get_docstring(ast.parse(Path(path).read_text(encoding="utf-8"))), name
