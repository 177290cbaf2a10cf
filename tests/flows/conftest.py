"""A Prefect server for all tests of the flows, and a project for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.projects import GOOD, JUDGED, MEASURE, PAGE, STAGES, make_project, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a Prefect server's API, and the environment that uses it."""
    with serving(tmp_path_factory.mktemp("prefect")) as (api, env, _):
        yield api, env


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A DVC project whose stages stand in dvc.yaml in the opposite order."""
    return make_project(tmp_path, STAGES, report=GOOD)


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """A DVC project with an audit, downstream models, metrics and a page of all of them; each gate holds."""
    repo = make_project(tmp_path, JUDGED, measure=MEASURE, page=PAGE)
    (repo / "verdict.json").write_text('{"gates": []}')
    return repo
