"""What README and docs say is run, parsed, or compared with the code."""

from __future__ import annotations

import re
import shlex

import pytest

from lmk.cli import parser
from lmk.config import HourglassParams, Params, ResNetParams
from lmk.scheme import known_schemes, parse_scheme
from lmk.store import write_annotations
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def commands(text, program):
    lines = re.findall(rf"^\$ {program} (.*)$", text, re.MULTILINE)
    return [shlex.split(line.split("#")[0]) for line in lines]


def test_every_lmk_command_of_the_readme_is_one():
    found = commands(README, "lmk")

    assert len(found) >= 3
    for words in found:
        parser().parse_args(words)


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
