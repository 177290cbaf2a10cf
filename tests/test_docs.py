"""What README and docs say is run, parsed, or compared with the code."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pytest
import yaml

from lmk.config import Params, RefineParams, load_params
from lmk.history.decisions import Wish, decide
from lmk.history.sql import asking
from lmk.registry import FORMATS, NETWORKS, REFINERS
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
    pages = [page.read_text().replace("\\\n", " ") for page in ROOT.glob("docs/*.md")]
    found = [words for text in (README, *pages) for words in commands(text, "lmk")]

    assert len(found) >= 16
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


def test_one_more_iteration_asks_a_detector_that_no_iteration_before_has_asked():
    page = (ROOT / "docs" / "pipeline.md").read_text()
    [text] = re.findall(r"## One more iteration.*?```yaml\n(.*?)```", page, re.DOTALL)
    longer = RefineParams.model_validate(yaml.safe_load(text)["refine"])
    today = load_params(ROOT / "params.yaml").refine

    assert len(longer.chain()) == len(today.chain()) + 1
    assert today.schedule[today.last].images == 0
    assert all(longer.schedule[name].images > 0 for name in longer.chain()[1:-1])


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
        if name in ("model", "refiners"):
            continue
        for inner in field.annotation.model_fields:
            assert f"`{inner}`" in sections[name], f"{name}.{inner}"
    for known, place in ((NETWORKS, sections["model"] + sections["downstream"]), (REFINERS, sections["refiners"])):
        for kind, entry in known.items():
            assert f"{kind}`" in place, f"docs/parameters.md says nothing of {kind}"
            for inner in entry.load().Params.model_fields:
                assert f"`{inner}`" in place or inner == "kind", f"{kind}.{inner}"


def test_every_format_has_its_section_in_the_guide():
    guide = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    for kind in FORMATS:
        assert f"\n### `{kind}`: " in guide, f"docs/formats.md says nothing of format {kind}"


def test_every_parameter_that_an_example_sets_is_there():
    example = load_params(ROOT / "params.yaml").model_dump()
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        for path in re.findall(r"-S ([a-z_.0-9]+)=", page.read_text()):
            place = example
            for part in path.split("."):
                assert part in place, f"{page.name}: {path}"
                place = place[part]


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
        numbers = {name: random.uniform(0, 1, shape) for name in ("chi2", "peak", "error_after", "suspicion", "spread")}
        evidence = {**numbers, "at_edge": numbers["peak"] > 0.9}
        moved = human.points + random.normal(0, 1, human.points.shape)
        write_annotations(human.moved(moved, number, evidence, {}), folder.annotations(f"i{number:02d}"))
    decide(folder, Wish("revert", "landmark = 3", None, "me", "seen"))
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
