"""The list of likely gross errors: what went wrong together is one entry."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.history.sql import asking
from lmk.history.suspects import format_suspects, suspects
from tests.history.sets import folder


def suspected(tmp_path, *sets):
    with asking(folder(tmp_path, *sets)) as questions:
        return suspects(questions, f"i{len(sets) - 1:02d}")


def judged(human, reasons):
    """The human set as if it had been refined: points of `reasons`, {(instance, landmark): reason}, moved by 3 px."""
    points = human.points.copy()
    reason = np.full(points.shape[:2], None, object)
    suspicion = np.full(points.shape[:2], 0.01)
    for where, why in reasons.items():
        reason[where], suspicion[where] = why, 0.9
        points[where] += [3.0, 0.0]
    return human.moved(points, 1, {"reason": reason, "suspicion": suspicion}, {})


def test_points_of_one_mistake_are_one_entry_and_the_largest_comes_first(human, tmp_path):
    refined = judged(
        human, {(2, 8): "slip", **{(0, k): "sides swapped" for k in range(17)}, (2, 30): "stray", (5, 8): "slip"}
    )

    found = suspected(tmp_path, human, refined)

    assert [(one.reason, len(one.landmarks)) for one in found] == [
        ("sides swapped", 17), ("slip", 1), ("stray", 1), ("slip", 1)
    ]  # fmt: skip
    assert found[0].image == human.instances["image"][0]
    assert found[1].landmarks == [human.scheme.names[8]]
    assert found[0].moved == pytest.approx(3, abs=1 / 64)
    text = format_suspects(found)
    assert text.startswith("20 points in 4 places")
    assert "17 in all" in text


def test_a_set_that_nobody_judged_has_none(human, tmp_path):
    assert suspected(tmp_path, human, human) == []
    assert "nobody has looked" in format_suspects([])


def test_a_reason_without_a_suspicion_is_none(human, tmp_path):
    refined = human.moved(human.points, 1, {"reason": "slip", "chi2": 1.0}, {})

    assert suspected(tmp_path, human, refined) == []
