"""dvc.yaml against the stages: the sections that they get, the code that they import, the paths that they use."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from lmk.config import load_params
from lmk.refine.iteration import Method
from pipelines.__main__ import stage_function
from pipelines.deps import ROOT, STAGES, files_of, needed_by, written
from pipelines.paths import Paths

GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = load_params(ROOT / "params.yaml")
NOT_SECTIONS = {"paths", "name", "iteration"}


def stage(name):
    return GRAPH[name].get("do", GRAPH[name])


def outs(name):
    return [out if isinstance(out, str) else next(iter(out)) for out in stage(name).get("outs", [])]


def code_deps(name):
    return [dep for dep in stage(name)["deps"] if dep.split("/")[0] in ("lmk", "pipelines")]


def test_every_stage_is_a_function_of_its_name():
    assert set(GRAPH) == set(STAGES)
    for name in STAGES:
        assert stage(name)["cmd"] == f"python -m pipelines {name}" + (" ${key}" if name == "refine" else "")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_gets_the_sections_that_its_params_list(name):
    asked = set(inspect.signature(stage_function(name)).parameters)
    listed = set(stage(name)["params"])
    if "method" in asked:  # a bundle of sections, and the parameters of the iteration's refiner
        listed.remove("refiners.${item.refiner}")
        asked = asked - {"method"} | {field.name for field in fields(Method)} - {"refiner"}
    if "iteration" in asked:
        listed.remove("refine.schedule.${key}")

    assert asked - NOT_SECTIONS == listed


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_the_code_that_it_runs_and_on_no_other(name):
    assert code_deps(name) == files_of(name), "run `python -m pipelines.deps`"


def test_the_generator_leaves_a_graph_that_is_up_to_date_as_it_is():
    text = (ROOT / "dvc.yaml").read_text()

    assert written(text) == text
    assert written(text.replace("      - lmk/store.py\n", "      - lmk/gone.py\n", 1)) == text


def test_a_new_detector_refiner_or_line_in_the_registry_runs_nothing_again():
    for name in STAGES:
        assert not {"lmk/registry.py", "lmk/models/corrections.py", "lmk/refine/align.py"} & set(files_of(name)) - {
            "lmk/refine/align.py" if name == "refine" else ""  # consensus looks at heatmaps with it
        }
    assert "lmk/models/hourglass.py" in files_of("baseline")
    assert "lmk/models/resnet.py" in files_of("downstream")
    assert "lmk/models/resnet.py" not in files_of("baseline")
    assert "lmk/refine/consensus.py" in files_of("refine")


def test_outs_and_deps_are_the_paths_that_the_code_spells():
    paths = Paths()
    refine = stage("refine")

    assert outs("ingest") == [str(paths.annotations("i00"))]
    assert outs("validate") == [str(paths.verdict("i00"))]
    assert outs("baseline") == [str(paths.model("i00"))]
    assert outs("refine") == [str(paths.annotations("${key}")), str(paths.model("${key}"))]
    assert {
        str(paths.annotations("i00")),
        str(paths.annotations("${item.prev}")),
        str(paths.model("${item.prev}")),
    } <= set(refine["deps"])
    assert str(paths.decisions / "${item.prev}") in refine["deps"]
    assert outs("audit") == [str(paths.audit)]
    assert outs("labels") == [str(paths.labels)]
    assert str(paths.labels) in stage("downstream")["deps"]
    assert paths.downstream("m", "human").parent == Path(outs("downstream")[0])
    assert [str(paths.metrics)] == [next(iter(entry)) for entry in stage("evaluate")["metrics"]]
    assert paths.plot("x").parent == Path(outs("evaluate")[0])
    assert outs("report") == [str(paths.report)]


def test_what_must_survive_a_rerun_lies_outside_the_outs():
    made = [Path(out) for name in STAGES for out in outs(name)]

    for kept in (Paths().work, Paths().rejected, Paths().data_docs("i00"), Paths().decisions):
        assert not any(out == kept or out in kept.parents or kept in out.parents for out in made), kept


def test_the_truth_reaches_evaluation_alone():
    for name in STAGES:
        if name != "evaluate":
            assert "lmk.truth" not in needed_by(f"pipelines.{name}"), name


def test_the_parameter_file_says_what_data_the_stages_depend_on():
    assert Path(PARAMS.data.root).parts[0] == "data"
    assert Path(PARAMS.data.truth).parts[0] == "data"
    for name in ("ingest", "baseline", "refine", "downstream", "evaluate", "report"):
        assert "data" in stage(name)["deps"]
