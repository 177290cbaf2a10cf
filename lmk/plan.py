"""What `lmk clean` is going to do, and about how long it will take, said before it starts.

Only trainings and searches are counted; all else takes seconds.  The time is an upper bound: a training after a search
gets as many passes as memorisation allows (`lmk.refine.iteration.next_training`), the alternation may stop early, and
an interrupted training goes on from its checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmk.annotations import AnnotationSet
from lmk.config import Iteration, Params
from lmk.errors import LmkError, ModelError
from lmk.history import ledger
from lmk.models.store import is_whole, model_digest, read_config
from lmk.names import AnyFolder
from lmk.reading import whole
from lmk.refine.iteration import MOST, MOST_STRETCH, searched_with
from lmk.store import digest_of, read_header
from lmk.training.recipe import Job, Recipe, provenance
from lmk.training.speed import Speed, measure
from lmk.workspace import Workspace

# What a search takes, relative to the prediction of an instance with its mirror image: the search in its heatmaps, the
# prediction of one view, and the weighing of all points for a refiner that asks for views.  Measured on two cores.
SEARCH, VIEW, WEIGHING = 1.0, 0.5, 1.0


@dataclass(frozen=True)
class Step:
    """The baseline, or one iteration."""

    name: str
    refiner: str | None  # None for the baseline
    views: int  # of each instance that the refiner asks for
    images: int  # seen by its training, at most; 0 where nothing is trained
    there: bool  # its labels and its network are there already


@dataclass(frozen=True)
class Plan:
    """A cleaning before it starts."""

    folder: Path
    instances: int
    points: int  # that are labelled
    learnt: int  # instances of split train
    watched: int  # instances of split val
    look_every: int  # images seen between two looks at val
    steps: tuple[Step, ...]

    @property
    def works(self) -> bool:
        """Whether anything is trained or searched."""
        return not all(step.there for step in self.steps)


def plan(params: Params, human: AnnotationSet, images: AnyFolder, paths: Workspace) -> Plan:
    """What the parameters ask for, and what of it is there.

    Args:
        params: all of them.
        human: the labels, which are in the folder already.
        images: the folder that image names start from.
        paths: the folder.
    """
    learnt, training = int(human.in_split("train").sum()), params.training
    passes = min(training.images / max(learnt, 1), training.epochs)
    job = Job(paths.annotations("i00"), images, paths.model("i00"), paths.work, "baseline")
    there = is_whole(job.target, provenance(_recipe(params), job))
    steps = [Step("i00", None, 0, round(passes * learnt), there)]
    for name in params.refine.chain()[1:]:
        iteration = params.refine.schedule[name]
        if iteration.images:
            most = min(passes * MOST_STRETCH, MOST * training.epochs)
            passes = min(iteration.images / max(learnt, 1), most)
        there = there and _is_there(name, iteration, params, paths)
        views = getattr(params.refiners[iteration.refiner], "views", 0)
        budget = round(passes * learnt) if iteration.images else 0
        steps.append(Step(name, iteration.refiner, views, budget, there))
    return Plan(
        folder=paths.root,
        instances=len(human.instances),
        points=int(human.labelled.sum()),
        learnt=learnt,
        watched=int(human.in_split("val").sum()),
        look_every=training.look_every,
        steps=tuple(steps),
    )


def _recipe(params: Params) -> Recipe:
    return Recipe(params.model, params.training, params.augmentation)


def _is_there(name: str, iteration: Iteration, params: Params, paths: Workspace) -> bool:
    """Whether labels and network of an iteration were made with these parameters, of the network before it."""
    refiner = params.refiners[iteration.refiner]
    decided = ledger.read(paths.decisions, before=name)
    asked = {
        "parameters": searched_with(refiner, params.alternation),
        "model": model_digest(paths.model(iteration.prev)),
        "decisions": digest_of(decided.to_dict("records")) if len(decided) else None,
    }
    try:
        labels = read_header(paths.annotations(name))[2]
        with whole(paths.model(name), "not made by lmk", ModelError):
            made = read_config(paths.model(name))["provenance"]["parameters"]
            epochs = int(made["training"]["epochs"])
    except LmkError:
        return False
    if any(labels.get(key) != value for key, value in asked.items()):
        return False
    if labels.get("stopped") or not iteration.images:  # the network is that of before
        return True
    training = params.training.changed(images=iteration.images, learning_rate=iteration.learning_rate, epochs=epochs)
    wanted = Recipe(params.model, training, params.augmentation)
    return bool(made == {part: getattr(wanted, field).model_dump() for part, field in _PARTS.items()})


_PARTS = {"model": "network", "training": "training", "augmentation": "augmentation"}  # of provenance, and of a recipe


def speed_of(params: Params, human: AnnotationSet, images: AnyFolder) -> Speed:
    """How fast this machine is with the networks of a plan."""
    return measure(_recipe(params), human, images)


def seconds(planned: Plan, speed: Speed) -> float:
    """How long trainings and searches take at most; what is there takes no time."""
    seen = sum(step.images for step in planned.steps if not step.there)
    watching = planned.watched / planned.look_every * speed.predicting
    searches = [step for step in planned.steps if step.refiner is not None and not step.there]
    predicted = sum(
        SEARCH * planned.learnt + (VIEW * step.views + WEIGHING * bool(step.views)) * planned.instances
        for step in searches
    )
    return seen * (speed.training + watching) + predicted * speed.predicting


def in_words(planned: Plan) -> str:
    """The plan for a terminal, but for the time."""
    lines = [
        f"plan for {planned.folder}: {planned.instances:,} instances with {planned.points:,} points; the "
        f"{planned.learnt:,} of split train are learnt from and corrected",
        *(f"  {step.name}  {_what(step)}" for step in planned.steps),
    ]
    return "\n".join(lines)


def _what(step: Step) -> str:
    if step.refiner is None:
        return "detector: is there" if step.there else f"detector: train on human labels, {step.images:,} images seen"
    if step.there:
        return f"labels of {step.refiner}: are there; detector: is there"
    search = f"labels: search with {step.refiner}"
    if not step.images:
        return f"{search}; detector: stays as it is"
    return f"{search}; detector: train on, at most {step.images:,} images seen"


def about(seconds: float) -> str:
    """A time in words, no finer than it is known."""
    if seconds < 90:
        return f"about {max(10, 10 * round(seconds / 10))} seconds"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} minutes"
    if seconds < 48 * 3600:
        return f"about {round(seconds / 3600)} hours"
    return f"about {round(seconds / 86400)} days"
