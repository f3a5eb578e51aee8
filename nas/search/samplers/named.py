"""The samplers that can be asked for by name; all propose new members within the caps."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler

from nas.errors import InputError, unknown
from nas.members import Members
from nas.search.samplers.cap import CapSampler
from nas.search.samplers.evolution import evolution
from nas.search.samplers.feasible import SUGGESTIONS, FeasibleSampler
from nas.search.samplers.local import LocalSearch
from nas.search.samplers.rule import RuleSampler
from nas.surrogate.priors import PriorGroup

DEFAULT_SAMPLER = "cap"
INFORMED = frozenset({"cap"})
"""Those that learn from what other studies measured."""


@dataclass(frozen=True)
class Wanted:
    """What a sampler is made for.

    `objectives` names, for each of the study's, the cost that it is, or None where it is measured; `avoid` gives the
    keys of members that must not be proposed, `priors` what other studies measured.
    """

    members: Members
    objectives: Sequence[str | None]
    seed: int
    avoid: Callable[[], AbstractSet[str]] = frozenset
    priors: Callable[[], Sequence[PriorGroup]] = tuple


def _tpe(seed: int) -> BaseSampler:
    """Return TPE with the settings that suit several objectives: its defaults sample every gene by itself."""
    return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


OPTUNA: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": _tpe,
    "gp": lambda seed: GPSampler(seed=seed),
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "nsga3": lambda seed: NSGAIIISampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
}
"""Optuna's own, by the seed of a proposal."""

ASKED = {"gp": 1}
"""How often for one trial, where it is not as often as others: a Gaussian process is fitted anew for each suggestion,
and of four only two or three are different."""


def _cap(wanted: Wanted) -> BaseSampler:
    return CapSampler(
        wanted.members,
        objectives=wanted.objectives,
        seed=wanted.seed,
        priors=wanted.priors(),
        avoid=wanted.avoid,
    )


def _evolution(wanted: Wanted) -> BaseSampler:
    return RuleSampler(wanted.members, evolution, seed=wanted.seed, avoid=wanted.avoid)


def _local(wanted: Wanted) -> BaseSampler:
    return RuleSampler(wanted.members, LocalSearch(wanted.members), seed=wanted.seed, avoid=wanted.avoid)


def feasible(make: Callable[[int], BaseSampler], wanted: Wanted, suggestions: int = SUGGESTIONS) -> BaseSampler:
    """Return an Optuna sampler behind the adapter."""
    return FeasibleSampler(
        wanted.members, _quietly(make), seed=wanted.seed, avoid=wanted.avoid, suggestions=suggestions
    )


def _quietly(make: Callable[[int], BaseSampler]) -> Callable[[int], BaseSampler]:
    def made(seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return make(seed)

    return made


SAMPLERS: dict[str, Callable[[Wanted], BaseSampler]] = {
    "cap": _cap,
    "evolution": _evolution,
    "local": _local,
    **{name: partial(feasible, make, suggestions=ASKED.get(name, SUGGESTIONS)) for name, make in OPTUNA.items()},
}


def sampler(name: str, wanted: Wanted) -> BaseSampler:
    """Return the sampler called `name`; InputError for an unknown one."""
    if name not in SAMPLERS:
        raise InputError(unknown("sampler", name, SAMPLERS))
    return SAMPLERS[name](wanted)
