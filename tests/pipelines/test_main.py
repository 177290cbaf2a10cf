"""`python -m pipelines results`, where there is nothing to print."""

from __future__ import annotations

import pytest

from lmk.errors import DataError
from pipelines.__main__ import show_results


@pytest.mark.parametrize(
    ("metrics", "line"),
    [
        (None, r"^metrics\.json: no results yet; `dvc repro` makes them$"),
        (
            "{}\n",
            r"^metrics\.json: empty, because a gate of the audit was broken: artifacts/report/index\.html says which",
        ),
    ],
)
def test_missing_and_empty_metrics_say_why_and_what_to_do(tmp_path, monkeypatch, metrics, line):
    monkeypatch.chdir(tmp_path)
    if metrics is not None:
        (tmp_path / "metrics.json").write_text(metrics)

    with pytest.raises(DataError, match=line):
        show_results()
