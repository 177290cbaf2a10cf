"""What README and docs say is run, parsed, or compared with the code."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pytest

from lmk.config import HourglassParams, Params, ResNetParams
from lmk.history.decisions import decide
from lmk.history.sql import asking
from lmk.scheme import known_schemes, parse_scheme
from lmk.store import write_annotations
from lmk.workspace import Workspace
from tests.cli.lines import parse
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def commands(text, program):
    lines = re.findall(rf"^\$ {program} (.*)$", text, re.MULTILINE)
    return [shlex.split(line.split("#")[0]) for line in lines]


def test_every_lmk_command_of_the_docs_is_one():
    found = commands(README, "lmk") + commands((ROOT / "docs" / "audit.md").read_text(), "lmk")

    assert len(found) >= 8
    for words in found:
        parse(words)


def test_every_make_target_of_the_docs_is_one():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\$ make ([a-z]+)", README + (ROOT / "CONTRIBUTING.md").read_text()))

    assert {"run", "test", "setup", "check", "format"} <= named <= targets


def test_the_readmes_scheme_is_one_and_its_table_names_the_shipped_ones():
    [text] = re.findall(r"```json\n(.*?)```", README, re.DOTALL)

    assert parse_scheme(text, "README").size == 12
    assert all(name in README for name in known_schemes())


def test_links_and_pictures_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_parameter_is_explained():
    text = (ROOT / "docs" / "parameters.md").read_text()
    names = re.findall(r"^## (\w+)", text, re.MULTILINE)
    sections = dict(zip(names, re.split(r"^## \w+", text, flags=re.MULTILINE)[1:], strict=True))

    assert set(sections) == set(Params.model_fields)
    for name, field in Params.model_fields.items():
        for inner in field.annotation.model_fields:
            assert f"`{inner}`" in sections[name], f"{name}.{inner}"
    for inner in {*HourglassParams.model_fields, *ResNetParams.model_fields}:
        assert f"`{inner}`" in sections["model"] + sections["downstream"]


@pytest.mark.filterwarnings("error")
def test_the_python_of_the_docs_runs(human, tmp_path, monkeypatch, capsys):
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "annotation-sets.md").read_text(), re.DOTALL)
    (tmp_path / "cleaned" / "annotations").mkdir(parents=True)
    refined = human.moved(human.points, 1, {}, {"parent_iteration": "i00"})
    write_annotations(refined, tmp_path / "cleaned" / "annotations" / "i01.parquet")
    monkeypatch.chdir(tmp_path)

    exec(compile(code, "annotation-sets.md", "exec"), {})

    assert capsys.readouterr().out == "ibug68 i00\n"


QUESTIONS = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "audit.md").read_text(), re.S)


@pytest.fixture(scope="module")
def asked(human, tmp_path_factory):
    """Two iterations with evidence, and a decision on the last one."""
    folder = Workspace(tmp_path_factory.mktemp("asked"))
    write_annotations(human, folder.annotations("i00"))
    shape = human.labelled.shape
    random = np.random.default_rng(0)
    for number in (1, 2):
        numbers = {name: random.uniform(0, 1, shape) for name in ("chi2", "peak", "error", "suspicion", "spread")}
        evidence = {**numbers, "at_edge": numbers["peak"] > 0.9}
        moved = human.points + random.normal(0, 1, human.points.shape)
        write_annotations(human.moved(moved, number, evidence, {}), folder.annotations(f"i{number:02d}"))
    decide(folder, "revert", "landmark = 3", None, "me", "seen", dry_run=False)
    with asking(folder) as questions:
        yield questions


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_questions_of_the_docs_have_answers(asked, question):
    assert len(asked.ask(question)) > 0


def test_there_are_five_questions():
    assert len(QUESTIONS) == 5


def test_every_column_of_the_tables_is_explained(asked):
    text = (ROOT / "docs" / "audit.md").read_text()
    named = set(re.findall(r"`(\w+)`", text[text.index("## The tables") : text.index("## Five questions")]))

    tables = [name for (name,) in asked.rows("SELECT table_name FROM information_schema.tables")]
    columns = [name for (name,) in asked.rows("SELECT column_name FROM information_schema.columns")]

    assert {"points", "instances", "findings", "decisions", "labels", "moves", "landmarks"} == set(tables)
    assert set(tables) | set(columns) <= named
