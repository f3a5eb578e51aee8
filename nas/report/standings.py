"""How sure is the front? The mean of each member over its seeds, its interval, and the members that it is tied with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from nas.report.quantities import plural, quantity
from nas.trust.noise import SeedNoise, seed_noise
from nas.view import StudyView

ACCURACY = "val_accuracy"


@dataclass(frozen=True, slots=True)
class Standing:
    """A member of the front: `metric` is `mean` plus or minus `margin` (95 %), over `seeds` of the `wanted` ones.

    `tied` are the members whose `metric` differs by less than the 95 % interval of a difference. Both come from the
    noise pooled over all networks of the study with several seeds at this fidelity; None and nothing without any.
    """

    seeds: int
    wanted: int
    mean: float
    margin: float | None
    tied: tuple[int, ...]
    metric: str = ACCURACY

    @property
    def is_confirmed(self) -> bool:
        """Whether it was trained from as many seeds as the study asks for."""
        return self.seeds >= self.wanted

    @property
    def seed_words(self) -> str:
        """The seeds, and how many were wanted where that is more: ``1 of 3``."""
        return str(self.seeds) if self.is_confirmed else f"{self.seeds} of {self.wanted}"

    @property
    def lines(self) -> tuple[str, ...]:
        """What hovering says of it: the interval and whether it is confirmed, then the ties."""
        label = "accuracy" if self.metric == ACCURACY else quantity(self.metric).label
        words = quantity(self.metric).words(self.margin)
        margin = f"{label} \N{PLUS-MINUS SIGN}{words} (95 %)" if self.margin is not None else ""
        state = "confirmed" if self.is_confirmed else f"not confirmed: {self.seed_words} seeds"
        state = "" if self.wanted == 1 else state
        return *filter(None, [", ".join(filter(None, (margin, state)))]), *(
            [f"tied with trial {self.tied_words}"] if self.tied else []
        )

    @property
    def tied_words(self) -> str:
        """The numbers of the members that it is tied with."""
        return ", ".join(map(str, self.tied))


def standings(view: StudyView) -> Mapping[int, Standing]:
    """Return by trial number how sure each member of the front is."""
    name = view.config.quality.name
    noise = seed_noise(view.values(record, name) for record in view.compared)
    values = {record.number: view.values(record, name) or (view.metrics(record)[name],) for record in view.front}

    def is_tied(one: int, other: int) -> bool:
        if noise is None or one == other:
            return False
        return abs(fmean(values[one]) - fmean(values[other])) < noise.margin(len(values[one]), len(values[other]))

    return {
        number: Standing(
            seeds=len(found),
            wanted=1 if view.is_of_problem else view.config.finalist_seeds,
            mean=fmean(found),
            margin=noise.margin(len(found)) if noise else None,
            tied=tuple(other for other in values if is_tied(number, other)),
            metric=name,
        )
        for number, found in values.items()
    }


def confirmation_line(view: StudyView) -> str:
    """Return in one line how far the front is confirmed, and what its intervals are; empty without a front."""
    found = standings(view).values()
    if not found:
        return ""
    open_ones = sum(not each.is_confirmed for each in found)
    wanted = plural(view.config.finalist_seeds, "seed")
    noise = seed_noise(view.values(record, view.config.quality.name) for record in view.compared)
    if view.is_of_problem:
        return _interval_words(view, noise) if noise else ""
    if noise is None:
        return f"none of the front is confirmed: nas confirm {view.config.name} trains finalists from {wanted}"
    state = f"{open_ones} of {plural(len(found), 'member')} of the front not confirmed by {wanted}"
    if not open_ones:
        state = f"every member of the front is confirmed by {wanted}"
    return f"{state}; {_interval_words(view, noise)}"


def _interval_words(view: StudyView, noise: SeedNoise) -> str:
    std = f"{noise.std:.3g}" if view.is_of_problem else f"{100 * noise.std:.2f} %"
    return (
        f"\N{PLUS-MINUS SIGN} is the 95 % interval of a mean, tied means within that of a difference, by a "
        f"seed noise of {std} pooled over {noise.degrees} degrees of freedom"
    )
