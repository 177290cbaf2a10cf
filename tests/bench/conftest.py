"""The benches at a size of seconds."""

from __future__ import annotations

import pytest


@pytest.fixture
def tiny(monkeypatch, small):
    """The benches at a size of seconds."""
    import bench.ablations.__main__ as ablations
    import bench.ablations.runs as runs
    import bench.downstream.__main__ as downstream
    import bench.downstream.data as data

    for module in (data, downstream, runs):
        monkeypatch.setattr(module, "COUNTS", (10,))
        monkeypatch.setattr(module, "TESTED", 4)
    for module in (downstream, runs):
        monkeypatch.setattr(module, "load_params", lambda *_: small)
    monkeypatch.setattr(data, "SIDE", 64)
    monkeypatch.setattr(downstream, "IMAGES", 16)
    monkeypatch.setattr(runs, "LEARNT", 20)
    for module in (runs, ablations):
        monkeypatch.setattr(module, "COUNT", 10)
    monkeypatch.setattr(runs, "ROUNDS", 2)
    monkeypatch.setattr(runs, "EPOCH", 10)
