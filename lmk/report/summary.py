"""What a cleaning found, in plain words, and what to do next: the end of `lmk clean`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from lmk.audit.results import Audit, Numbers
from lmk.history.gates import Verdict, counted
from lmk.history.sql import asking
from lmk.history.suspects import suspects
from lmk.provenance import Provenance
from lmk.store import read_header
from lmk.workspace import Workspace

JUDGE = "judge"  # the gate that a detector breaks which is too weak to move anything
WEAK = (
    "The detector is expected to be further off than the annotators, so no point was moved. Let it see more images "
    "(training.images), label more instances, or use larger crops (model.input_size)."
)


@dataclass(frozen=True)
class Step:
    """What to do next."""

    says: str
    command: str  # as it can be typed


@dataclass(frozen=True)
class Summary:
    """A cleaning at a glance."""

    paths: Workspace
    numbers: Numbers | None  # of the last iteration; None without one
    swapped: int  # instances whose sides were exchanged, which the numbers leave out
    refiner: str | None
    suspected: int  # human points that are likely gross errors …
    places: int  # … in so many places: points of an instance that went wrong together are one
    gates: tuple[Verdict, ...]
    stopped: str | None  # why the last iteration repeats an earlier one
    form: str | None  # format in which the labels can go back to where they came from

    @property
    def moved(self) -> int:
        """Points of the last iteration that are not where the human put them."""
        if self.numbers is None:
            return 0
        return self.numbers.points - round(self.numbers.points * (self.numbers.unchanged or 0))

    @property
    def broken(self) -> list[Verdict]:
        """Gates that say no."""
        return [gate for gate in self.gates if gate.broken]


def summarise(paths: Workspace, names: Sequence[str], found: Audit) -> Summary:
    """The summary of a folder.

    Args:
        paths: the folder.
        names: of its iterations, the human labels first.
        found: its audit, gates included.
    """
    with asking(paths, names) as questions:
        doubtful = suspects(questions, names[-1])
    last = Provenance.of(read_header(paths.annotations(names[-1]))[2])
    return Summary(
        paths,
        found.iterations[-1] if found.iterations else None,
        found.shapes[-1].swapped if found.iterations else 0,
        last.refiner,
        sum(len(one.landmarks) for one in doubtful),
        len(doubtful),
        found.gates or (),
        last.stopped,
        read_header(paths.annotations(names[0]))[2].get("format"),
    )


def in_words(summary: Summary) -> str:
    """The summary for a terminal."""
    lines = [*_moved(summary), *_mistakes(summary), *_gates(summary), "", "What to do next:"]
    for step in next_steps(summary):
        lines += [f"  {step.says}", f"    {step.command}"]
    return "\n".join([*lines, f"Report: {summary.paths.report}"])


def next_steps(summary: Summary) -> list[Step]:
    """At most three things to do, the most urgent first."""
    folder = str(summary.paths.root)
    steps: list[Step] = []
    if summary.broken and summary.numbers is not None:
        gate = next((gate for gate in summary.broken if gate.name == JUDGE), summary.broken[0])
        looking = typed("lmk", "query", folder, _question(gate, summary.numbers.iteration))
        says = f"Look at what broke gate {gate.name}, before you use the labels."
        steps.append(Step(WEAK if gate.name == JUDGE else says, looking))
    if summary.suspected:
        steps.append(Step("Look through the points that look like mistakes.", typed("lmk", "suspects", folder)))
    if not summary.moved:
        steps.append(Step("See what each iteration did.", typed("lmk", "log", folder)))
    elif not summary.broken:
        form, ending = ("pts", "-pts") if summary.form == "pts" else ("csv", ".csv")
        labels, target = str(summary.paths.labels), str(_free(Path(folder + ending)))
        exporting = typed("lmk", "export", labels, "--format", form, "-o", target)
        steps.append(Step("Take the labels back to your tools.", exporting))
    return steps


def _moved(summary: Summary) -> Iterator[str]:
    numbers = summary.numbers
    if numbers is None:
        yield "No iteration was asked for: the labels are the human ones."
        return
    if not summary.moved:
        yield f"{numbers.iteration}: no point moved, of {_number(numbers.points, 'point')} that were looked at."
    else:
        yield (
            f"{numbers.iteration}: {summary.moved:,} of {_number(numbers.points, 'point')} moved; the distance is "
            f"{numbers.mean or 0:.2f} px on average ({numbers.percent or 0:.2f} % of the box), and "
            f"{numbers.p95 or 0:.2f} px or less for 95 % of the points."
        )
    if summary.swapped:
        yield f"The sides of {_number(summary.swapped, 'instance')} were exchanged; these are not in the numbers above."
    if summary.stopped:
        yield f"The search stopped early, and the labels are those of an earlier iteration: {summary.stopped}."


def _mistakes(summary: Summary) -> Iterator[str]:
    if summary.suspected:
        places = "place" if summary.places == 1 else "places"
        yield (
            f"{_number(summary.suspected, 'human point')} in {summary.places:,} {places} "
            f"{'looks like a mistake' if summary.suspected == 1 else 'look like mistakes'}."
        )
    elif summary.numbers is not None and summary.numbers.suspected is None:
        yield f"Nobody looked for mistakes among the human points; refiner {summary.refiner} does not."
    else:
        yield "No human point looks like a mistake."


def _gates(summary: Summary) -> Iterator[str]:
    told = [gate for gate in summary.gates if gate.broken or gate.unjudged]
    for gate in told:
        text = str(gate)
        yield f"{text[0].upper()}{text[1:]}."
    if not told and summary.gates:
        yield f"{counted(summary.gates)}."


def _question(gate: Verdict, iteration: str) -> str:
    """A question whose answer shows what broke a gate: the points that meet it, or the landmarks that moved most.

    For a detector that is too weak, the landmarks at which it is weakest.
    """
    if gate.name == JUDGE:
        return (
            "SELECT name, avg(error_network) AS network, avg(error_before) AS human FROM points "
            f"WHERE iteration = '{iteration}' AND searched GROUP BY name ORDER BY network / human DESC LIMIT 20"
        )
    condition = " ".join(gate.condition.split())
    if gate.points and "--" not in condition:
        return (
            f"SELECT image, instance, name, drift, along, across FROM points WHERE iteration = '{iteration}' AND "
            f"searched AND NOT decided AND ({condition}) ORDER BY drift DESC LIMIT 20"
        )
    return (
        "SELECT name, count(*) AS points, avg(drift) AS drift, avg(abs(across)) AS across FROM points "
        f"WHERE iteration = '{iteration}' AND counted AND NOT decided GROUP BY name ORDER BY drift DESC LIMIT 20"
    )


def typed(*words: str) -> str:
    """A command line as one types it into a shell."""
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    plain = shlex.quote(word)
    if plain == word or set(word) & set('"$`\\!'):
        return plain
    return f'"{word}"'  # SQL is full of single quotes


def _free(path: Path) -> Path:
    """The path, with a number if something is there already."""
    names = (path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(1))
    return next(name for name in names if not name.exists())


def _number(value: int, what: str) -> str:
    return f"{value:,} {what}" + ("" if value == 1 else "s")
