"""The pipeline on a small copy of the project, under a real DVC: kills, reruns, changes.

The tests of this file build on each other's project, in their order.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from lmk.clean import clean
from lmk.config import load_params
from lmk.store import read_annotations
from tests.conftest import ROOT, SMALL, copy_pipeline

PATIENCE = 120.0


def run(project, *command, check=True):
    here = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1", "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def dvc(project, *arguments, check=True):
    return run(project, sys.executable, "-m", "dvc", *arguments, check=check)


def ran(output):
    return re.findall(r"Running stage '([^']+)'", output)


def kill_when(project, condition, *arguments):
    """Start `dvc repro`, and kill it with all that it started as soon as the condition holds."""
    here = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", *arguments], cwd=project, env=env, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert process.poll() is None, "ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL


def edit_params(project, change):
    params = yaml.safe_load((project / "params.yaml").read_text())
    change(params)
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.fixture(scope="module")
def project(rendered, tmp_path_factory):
    """A copy of what the pipeline consists of, with few faces and small networks."""
    project = tmp_path_factory.mktemp("pipeline") / "project"
    params = load_params(ROOT / "params.yaml", [*SMALL, "training.images=400", "alternation.stop=false"])
    copy_pipeline(project, rendered, yaml.safe_dump(params.model_dump(), sort_keys=False))
    run(project, "git", "init", "-q")
    run(project, sys.executable, "-m", "dvc", "init", "-q")
    shutil.copytree(ROOT / ".dvc" / "plots", project / ".dvc" / "plots")
    dvc(project, "commit", "-q", "-f", "data.dvc")
    return project


@pytest.fixture(scope="module")
def results(project):
    """Run everything, killed while it reads, trains and refines; what is on disk is whole each time."""
    artifacts = project / "artifacts"
    # DVC makes the folder of a stage's outputs just before it starts the stage.
    kill_when(project, (artifacts / "annotations").is_dir)
    for file in (artifacts / "annotations").glob("*.parquet"):
        read_annotations(file)

    def checkpoints():
        return list((artifacts / ".work").glob("*/checkpoint.safetensors"))

    kill_when(project, checkpoints)
    assert not (artifacts / "models" / "i00").exists()
    first = set(checkpoints())
    kill_when(project, lambda: set(checkpoints()) - first and (artifacts / "annotations" / "i01.parquet").exists())
    read_annotations(artifacts / "annotations" / "i01.parquet")
    output = dvc(project, "repro")
    assert "baseline" not in ran(output)
    return artifacts


def test_after_three_kills_the_results_are_those_of_one_undisturbed_process(project, results, tmp_path):
    params = load_params(project / "params.yaml", [f"data.truth={project}/data/truth/truth.csv"])

    clean(project / "data" / "faces", params, tmp_path / "out")

    compared = [Path("annotations", f"{name}.parquet") for name in ("i00", "i01", "i02")]
    compared += [Path("models", name, file) for name in ("i00", "i01", "i02") for file in
                 ("model.safetensors", "config.json", "curve.csv")]  # fmt: skip
    for path in compared:
        assert (results / path).read_bytes() == (tmp_path / "out" / path).read_bytes(), path
    assert not list((results / ".work").glob("*/checkpoint.safetensors"))
    assert (tmp_path / "out" / "report" / "index.html").is_file()


def test_results_can_be_shown_and_plotted(project, results):
    shown = run(project, sys.executable, "-m", "pipelines", "results")

    assert re.search(r"i02 +\d+\.\d+ +[+-]\d", shown)
    assert "resnet" in shown
    assert "artifacts/report/index.html" in shown
    assert "interocular" in dvc(project, "metrics", "show")
    dvc(project, "plots", "show", "-o", "plots")
    page = (project / "plots" / "index.html").read_text()
    assert "Training loss" in page
    assert '"color": {"field": "model"' in page


def test_the_second_run_runs_nothing_and_leaves_what_is_tracked_alone(project, results):
    run(project, "git", "add", "-A")
    run(project, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "first")
    started = time.monotonic()

    assert ran(dvc(project, "repro")) == []

    assert time.monotonic() - started < 10
    assert run(project, "git", "status", "--porcelain") == ""


def test_one_more_iteration_keeps_those_before_it(project, results):
    def grow(params):
        params["refiners"]["keep"] = {"kind": "keep", "mirror": True}
        params["refine"]["schedule"]["i03"] = {"prev": "i02", "refiner": "keep", "images": 0, "learning_rate": 1e-3}

    edit_params(project, grow)
    output = dvc(project, "repro", "refine@i03")

    assert ran(output) == ["refine@i03"]
    kept = read_annotations(results / "annotations" / "i03.parquet")
    assert (kept.points == read_annotations(results / "annotations" / "i02.parquet").points).all()


def test_a_change_of_one_iteration_reruns_it_and_what_follows(project, results):
    edit_params(project, lambda params: params["refine"]["schedule"]["i02"].update(images=24))

    status = dvc(project, "status")
    output = dvc(project, "repro", "refine@i03")

    assert "refine.schedule.i02" in status
    assert "refine@i01" not in status
    assert ran(output) == ["refine@i02", "refine@i03"]
    assert "images" in dvc(project, "params", "diff")


def test_a_decision_reruns_what_comes_after_the_iteration_that_it_judges(project, results):
    dvc(project, "repro")
    untouched = (results / "annotations" / "i01.parquet").read_bytes()

    decided = run(
        project, sys.executable, "-m", "lmk", "revert", "artifacts", "--where", "landmark = 7", "--iteration", "i02"
    )
    output = dvc(project, "repro", "refine@i03", "labels")

    assert "in i02 reverted" in decided
    assert ran(output) == ["refine@i03", "labels"]
    human, last = (read_annotations(results / "annotations" / f"{name}.parquet") for name in ("i00", "i03"))
    assert (last.points[:, 7] == human.points[:, 7]).all()
    assert (read_annotations(results / "labels.parquet").points[:, 7] == human.points[:, 7]).all()

    run(project, sys.executable, "-m", "lmk", "revert", "artifacts", "--where", "landmark = 8", "--iteration", "i03")
    assert ran(dvc(project, "repro", "refine@i03", "labels")) == ["labels"]

    run(project, sys.executable, "-m", "lmk", "revert", "artifacts", "--where", "landmark = 9", "--iteration", "i01")
    assert ran(dvc(project, "repro", "refine@i03", "labels")) == ["refine@i02", "refine@i03", "labels"]
    assert (results / "annotations" / "i01.parquet").read_bytes() == untouched
    assert "artifacts/decisions/i01/000003.parquet" in run(project, "git", "status", "--porcelain", "-uall")


def test_a_broken_image_leaves_the_labels_of_before(project, results):
    image = project / "data" / "faces" / "train" / "000001.jpg"
    whole, before = image.read_bytes(), (results / "annotations" / "i00.parquet").read_bytes()
    image.write_bytes(whole[:900])

    output = dvc(project, "repro", "ingest", check=False)
    image.write_bytes(whole)

    assert "train/000001.jpg: truncated" in output
    assert (results / "annotations" / "i00.parquet").read_bytes() == before


def test_a_users_mistake_is_the_stages_one_line(project, results):
    edit_params(project, lambda params: params["training"].update(weight_decay=-1.0))

    output = dvc(project, "repro", "refine@i01", check=False)

    assert "lmk: params.yaml: training.weight_decay: input should be greater than or equal to 0, not -1.0" in output
    assert "Traceback" not in output
    edit_params(project, lambda params: params["training"].update(weight_decay=1.0e-2))
    edit_params(project, lambda params: params["evaluation"].update(normaliser="wingspan"))
    first = run(project, sys.executable, "-m", "pipelines", "ingest", check=False)
    assert "lmk: unknown normaliser of scheme ibug68 'wingspan'; known: box, image, interocular, interpupil" in first
