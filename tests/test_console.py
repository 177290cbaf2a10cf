"""What a user is told while work is long."""

from __future__ import annotations

from lmk.console import Progress


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_speed_and_time_left_are_those_of_the_work_and_not_of_the_waiting_before_it(capsys):
    clock = Clock()
    progress = Progress("reading", "images", clock)
    for now, done in ((100.0, 50), (105.0, 100), (115.0, 150), (135.0, 250)):
        clock.now = now
        progress(done, 250)

    assert capsys.readouterr().err.splitlines() == [
        "reading: 50/250 images",
        "reading: 150/250 images, 6.7 images/s, 0:15 left",
        "reading: 250/250 images, 5.7 images/s, took 0:35",
    ]


def test_what_is_done_at_once_is_said_once(capsys):
    clock = Clock()
    progress = Progress("reading", "images", clock)
    clock.now = 2.0

    progress(30, 30)

    assert capsys.readouterr().err.splitlines() == ["reading: 30/30 images, 15 images/s, took 0:02"]
