"""A search of your own: named choices, what they cost, and a function that evaluates them.

The same search runs over it as over the networks of a search space, without any training code: benchmark tables, a
trainer of your own, a farm of devices. `nas.search.problem.solve` runs it; docs/problems.md has examples.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nas.choices import ChoiceMembers
from nas.errors import InputError
from nas.members import difference
from nas.pareto import Direction
from nas.records import Candidate, Fidelity, Measurement
from nas.space import Gene, GeneValue, Genotype

Evaluate = Callable[[Candidate, Fidelity, int], Measurement]
"""Measures a candidate at a fidelity from a seed: the same arguments should give the same measurement."""

DIRECTIONS = ("maximize", "minimize")
ONE_RUNG = (Fidelity(epochs=1, resolution=1),)


def _no_cost(_: Genotype) -> Mapping[str, float]:
    return {}


@dataclass(frozen=True)
class Problem:
    """Choices with their values, what is wanted, and how it is measured.

    Values are text, numbers, or true and false; numbers are taken to be ordered as they stand. `objectives` gives each
    its direction; those that `cost` gives are known without evaluating, all others `evaluate` must measure, at every
    fidelity. `caps` are the most that a cost may be: no candidate is over one. `normal` returns one genotype for all
    that mean the same member, itself for that one, and None for what is no member; only what it returns has a cost and
    is evaluated. `fidelities` are the rungs, cheapest first; what their numbers mean is up to `evaluate`.
    """

    name: str
    choices: Mapping[str, Sequence[GeneValue]]
    objectives: Mapping[str, Direction]
    evaluate: Evaluate
    cost: Callable[[Genotype], Mapping[str, float]] = _no_cost
    caps: Mapping[str, float] = field(default_factory=dict)
    normal: Callable[[Genotype], Genotype | None] | None = None
    fidelities: tuple[Fidelity, ...] = ONE_RUNG

    def __post_init__(self) -> None:
        """Raise InputError for what cannot be searched."""
        fault = next((fault for fault in (*self._faults_of_choices(), *self._faults_of_goals()) if fault), None)
        if fault is not None:
            raise InputError(f"problem {self.name}: {fault}")

    def _faults_of_choices(self) -> list[str]:
        if not self.choices:
            return ["no choice, name at least one with its values"]
        faults = [f"the name of a choice must be text, got {name!r}" for name in self.choices if not _is_name(name)]
        for name, values in self.choices.items():
            if isinstance(values, str) or not isinstance(values, Sequence):
                faults.append(f"choice {name!r} needs a list of values, got {values!r}")
                continue
            faults += [
                f"choice {name!r}: a value must be text, a finite number, true or false, got {value!r}"
                for value in values
                if type(value) not in {str, int, float, bool} or (isinstance(value, float) and not math.isfinite(value))
            ]
            if not faults and (not values or len(set(values)) < len(values)):
                faults.append(f"choice {name!r} needs values, each once, got {list(values)!r}")
        return faults

    def _faults_of_goals(self) -> list[str]:
        faults = [] if self.objectives else ["no objective, name at least one"]
        for name, direction in self.objectives.items():
            if not _is_name(name) or ":" in name:
                faults.append(f"the name of an objective must be text without a colon, got {name!r}")
            if direction not in DIRECTIONS:
                faults.append(f"objective {name!r} must be 'maximize' or 'minimize', got {direction!r}")
        for name, cap in self.caps.items():
            if not isinstance(cap, int | float) or not 0 < cap < math.inf:
                faults.append(f"the cap on {name!r} must be a finite number above 0, got {cap!r}")
        rungs = self.fidelities
        if not rungs or not all(isinstance(each, Fidelity) for each in rungs) or len(set(rungs)) < len(rungs):
            faults.append(f"fidelities: name at least one rung, each once, got {rungs!r}")
        return faults

    @property
    def text(self) -> str:
        """The choices as JSON, as a study keeps them."""
        return json.dumps({name: list(values) for name, values in self.choices.items()})

    @cached_property
    def members(self) -> ChoiceMembers:
        """The choices as samplers see them."""
        genes = tuple(Gene(name, tuple(values)) for name, values in self.choices.items())
        return ChoiceMembers(self.name, genes, self.caps, self.cost, self.normal)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name.strip())


def different_choices(before: str, now: str) -> str:
    """Return which choices differ between two texts of problems, in words; empty where only their order does."""
    return difference(json.loads(before), json.loads(now), "then", "now")
