"""A study that is played without a database, and members to play it with."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.budget import Budget
from nas.members import Members, NetworkMembers
from nas.problem import Problem
from nas.search.proposals import Mirror, Proposal
from nas.search.samplers.fresh import ExhaustedError
from nas.search.samplers.named import SAMPLERS, Wanted, sampler
from nas.search.samplers.space import distributions
from nas.space import Genotype
from nas.space_file import load_space, parse_space
from tests.search.fakes import TINY_SPACE

DIRECTIONS = ("maximize", "minimize", "minimize")
ENDED = [TrialState.COMPLETE] * 6 + [TrialState.PRUNED, TrialState.FAIL]
VALUES = [math.inf, -math.inf, 0.0, 0.5, 1.0, 2.5, 1e12]
QUICK = sorted(set(SAMPLERS) - {"gp"})
"""Those that can be asked some hundred times in a test."""

every_sampler = pytest.mark.parametrize("name", SAMPLERS)
quick_samplers = pytest.mark.parametrize("name", QUICK)


def digits(cap: int = 5_000) -> NetworkMembers:
    return NetworkMembers(load_space("digits"), Budget(params=cap))


def tiny(cap: int = 15_000) -> NetworkMembers:
    return NetworkMembers(parse_space(TINY_SPACE), Budget(params=cap))


def plain(genes: int = 6, cap: int | None = None, values: Sequence[Any] = (1, 2, 4)) -> Members:
    """Return the members of a problem that cost the sum of the places of their values."""

    def cost(genotype: Genotype) -> dict[str, float]:
        return {"size": sum(values.index(value) for value in genotype.values()) + 1}

    caps = {} if cap is None else {"size": cap}
    return problem({f"gene{i}": values for i in range(genes)}, cost=cost, caps=caps).members


def problem(choices: dict[str, Sequence[Any]], **more: Any) -> Problem:
    return Problem("plain", choices, {"score": "maximize"}, evaluate=lambda *_: None, **more)


KINDS = [(1, 2, 3, 4), (3, 5), (1, 2, 4), (0.5, 1, 2), ("relu", "gelu", "none"), (True, False), (7,)]


@st.composite
def problems(draw: st.DrawFn) -> Members:
    """Draw a space of at most 144 genotypes: with a cap or none, with genotypes that mean the same, or nothing."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    choices = {f"gene{i}": values for i, values in enumerate(kinds)}
    weights = draw(st.lists(st.integers(0, 5), min_size=len(kinds), max_size=len(kinds)))
    first, last = choices["gene0"][0], f"gene{len(kinds) - 1}"
    same, none = draw(st.booleans()), draw(st.booleans())

    def cost(genotype: Genotype) -> dict[str, float]:
        assert normal(genotype) == genotype, "nothing but members need have a cost"
        places = (choices[name].index(value) for name, value in genotype.items())
        return {"size": 1 + sum(weight * place for weight, place in zip(weights, places, strict=True))}

    def normal(genotype: Genotype) -> Genotype | None:
        if none and all(value == choices[name][-1] for name, value in genotype.items()) and len(kinds) > 1:
            return None
        is_idle = same and last != "gene0" and genotype["gene0"] == first
        return {**genotype, last: choices[last][0]} if is_idle else genotype

    cap = draw(st.sampled_from([1, 2, 4, 8, 1_000]))
    return problem(choices, cost=cost, caps={"size": cap}, normal=normal).members


def all_keys(members: Members) -> set[str]:
    """Return the keys of all members within the caps, by enumeration."""
    names = [gene.name for gene in members.genes]
    rows = product(*(gene.values for gene in members.genes))
    fitted = (members.fit(dict(zip(names, row, strict=True))) for row in rows)
    return {members.key(member) for member in fitted if member is not None}


class Played:
    """A study that workers share, as a database would hold it, and one worker's long-lived copy of it."""

    def __init__(self, name: str, members: Members, count: int = 2, *, seed: int = 0, avoid: set[str] | None = None):
        self.members, self.trials, self._made = members, list[FrozenTrial](), (name, count, seed, avoid or set())
        self.mirror = self.fresh()

    def fresh(self) -> Mirror:
        """Return what a process that comes new has: a copy made at once, with a sampler of its own."""
        name, count, seed, avoid = self._made
        costs = [None] * count
        made = sampler(name, Wanted(self.members, costs, seed=seed, avoid=lambda: avoid))
        mirror = Mirror(DIRECTIONS[:count], self.members.genes, made)
        mirror.follow(self.trials)
        return mirror

    @property
    def running(self) -> list[int]:
        """The numbers of the trials that run."""
        return [trial.number for trial in self.trials if not trial.state.is_finished()]

    @property
    def seen(self) -> set[str]:
        """The keys of all trials but those that failed."""
        return {self.members.key(trial.params) for trial in self.trials if trial.state != TrialState.FAIL}

    def ask(self) -> Proposal:
        """Let the worker ask, check what it gets, and write that down as running."""
        self.mirror.follow(self.trials)
        proposal = self.mirror.ask()
        assert proposal.genotype == self.members.fit(proposal.genotype)
        assert self.members.load(proposal.genotype) <= 1
        assert self.members.key(proposal.genotype) not in self.seen | self._made[3]
        self._put(len(self.trials), TrialState.RUNNING, proposal.genotype, notes=proposal.notes)
        return proposal

    def add(self, state: TrialState, genotype: Genotype, values: Sequence[float] = ()) -> None:
        """Put in a trial of another worker."""
        self._put(len(self.trials), state, genotype, values)

    def end(self, number: int, state: TrialState, values: Sequence[float]) -> None:
        """Let a running trial come to an end."""
        old = self.trials[number]
        self._put(number, state, old.params, values, notes=old.system_attrs)

    def _put(
        self, number: int, state: TrialState, params: Any, values: Sequence[float] = (), *, notes: Any = None
    ) -> None:
        trial = create_trial(
            state=state,
            values=values if state == TrialState.COMPLETE else None,
            params=params,
            distributions=distributions(self.members.genes),
            system_attrs=dict(notes or {}),
        )
        trial.number = number
        self.trials[number : number + 1] = [trial]

    def score(self, genotype: Genotype) -> list[float]:
        """Return values that depend on the genotype alone."""
        rng = random.Random(self.members.key(genotype))
        return [rng.random() for _ in range(self._made[1])]


def search(played: Played, count: int) -> list[str]:
    """Let one worker ask and end `count` trials, one after the other; return the keys."""
    for _ in range(count):
        genotype = played.ask().genotype
        played.end(len(played.trials) - 1, TrialState.COMPLETE, played.score(genotype))
    return [played.members.key(trial.params) for trial in played.trials]


def several_workers(played: Played, count: int, rng: random.Random) -> None:
    """Let workers ask for `count` trials, up to three at once; they end in any order and any way."""
    for _ in range(count):
        played.ask()
        while played.running and (len(played.running) > 2 or rng.random() < 0.3):
            number = rng.choice(played.running)
            played.end(number, rng.choice(ENDED), played.score(played.trials[number].params))


def fill(played: Played, count: int, rng: random.Random) -> None:
    """Put random trials of any state and any value into a study."""
    for _ in range(count):
        member = played.members.fit(played.members.random(rng))
        if member is None:
            continue
        state = rng.choice([*ENDED, TrialState.RUNNING])
        values = [rng.choice([rng.random(), rng.choice(VALUES)]) for _ in played.score(member)]
        played.add(state, member, values)


def asked_until_the_end(played: Played, most: int) -> None:
    """Ask up to `most` times, and check that it is for want of members where there is nothing more."""
    left = len(all_keys(played.members) - played.seen)
    for _ in range(min(most, left)):
        played.ask()
    if left < most:
        with pytest.raises(ExhaustedError, match=r"members within the caps were seen|no member is within the caps"):
            played.ask()
