"""Figures 6 to 8: the alternation of search and training, round by round."""

from __future__ import annotations

from bench.ablations.numbers import AGAINST, STOPS, Cells, at, seeds_of, shown

EXPLAINED = 11  # the seed that the text below Figure 8 is about
TAUGHT = ("baseline", "not updated", "updated", "consensus", "true")
SHARPER = TAUGHT[1:]  # labels with less noise than human ones
COLUMNS = (
    "*Consensus* searches as `lmk clean` does, but trains the detector on refined labels, as the paper does; *true* "
    "trains on the truth itself.  *Bias*: mean offset of each landmark from the truth over all faces, root mean square "
    "over landmarks, in % of the interocular distance.  *Shrinkage*: how much smaller contours are than the true ones, "
    "in %; it is a part of the bias."
)


def updates(cells: Cells) -> list[str]:
    """Figures 6 to 8 as plots and as tables."""
    lines = ["## Figures 6, 7 and 8: the update", ""]
    if not seeds_of(cells, "update"):
        return [*lines, "Not run yet.", ""]
    lines += [
        f"Seeds {seeds_of(cells, 'update')}.",
        "",
        "![Figure 7](images/ablations_error.svg)",
        "",
        "![Figure 6](images/ablations_loss.svg)",
        "",
        "![Figure 8](images/ablations_stop.svg)",
        "",
    ]
    for where, title, epochs in (
        ("errors", "detector", (0, 1, -1)),
        ("labels", "training labels", (0, 1, 2, -1)),
    ):
        names = {0: "before", 1: "epoch 1", 2: "epoch 2", -1: "epoch 10"}
        heads = [f"{what}{names[epoch]}" for what in ("", "bias, ", "shrinkage, ") for epoch in epochs]
        lines += ["", f"| {title} | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
        for variant in TAUGHT:
            values = [
                at(cells, "update", variant, where, epoch, what)
                for what in ("truth" if where == "errors" else "mean", "bias", "shorter")
                for epoch in epochs
            ]
            lines.append(f"| {variant} | {' | '.join(map(shown, values))} |")
    lines += ["", "| epochs with an update (Figure 8) | against the truth | against human labels |", "|---|---:|---:|"]
    for rounds, place in STOPS.items():
        values = [at(cells, *place, "errors", -1, against) for against in AGAINST]
        lines.append(f"| {rounds} | {' | '.join(map(shown, values))} |")
    return [*lines, "", COLUMNS, "", *explained(cells)]


def explained(cells: Cells) -> list[str]:
    """Why the test error does not have the paper's order, with the numbers of one seed."""
    of_seed = {key: [cell for cell in group if cell["seed"] == EXPLAINED] for key, group in cells.items()}
    if not all(of_seed.get(("update", variant)) for variant in TAUGHT):
        return []
    runs = {variant: of_seed["update", variant][0] for variant in TAUGHT}
    first = {name: run["errors"][1]["shorter"] - run["errors"][0]["shorter"] for name, run in runs.items()}
    least, most = (pick(first[name] for name in SHARPER) for pick in (min, max))
    before, after = (runs["true"]["errors"][epoch]["truth"] for epoch in (0, -1))
    human, once = (runs["updated"]["labels"][epoch]["mean"] for epoch in (0, 1))
    text = (
        f"On seed {EXPLAINED} the training loss has the order of Figure 6, but the test error does not have that of "
        "Figure 7.  Neither the number of epochs nor the learning rate explains this: on true labels the same "
        f"{len(runs['true']['loss'])} epochs reduce the error by {100 * (1 - after / before):.0f} %.  Nor does the "
        f"first search: it reduces the error of the labels from {human:.2f} to {once:.2f} %.  The cause is a bias that "
        "accumulates.  The first epoch on labels with less noise than human ones, true labels included, shrinks the "
        f"detector's contours by another {least:.1f} to {most:.1f} % (human labels: {first['baseline']:.1f} %).  With "
        "true labels this disappears in later epochs.  Labels that follow the detector take the shrinkage over, the "
        "next search starts from them, and so it grows with every round, as do offsets in other directions: in the end "
        f"contour size explains {runs['updated']['labels'][-1]['size']:.0f} % of the squared bias of *updated* "
        "labels.  It grows more slowly where every search starts from human labels (*not updated*, *consensus*).  `lmk "
        "clean` does that, and trains its detectors on human labels.  We have not measured whether the paper's larger "
        "detector, on images of 256 pixels, behaves differently."
    )
    return [text, ""]
