"""What does it cost to ask a sampler for the next candidate, after 1,000 and after 10,000 trials?

    python benchmarks/ask_cost.py [--asks 120]

Two spaces: `hybrid` (61 genes, networks under 1.5M parameters) and a problem of 40 plain choices of four values under a
cap. One and two objectives. Each study is an Optuna study in memory that was told random members with made-up values;
then candidates are asked for and told one after the other. The first ask, in which a new process reads all trials, is
given by itself; the others as their mean, in which what is done only now and then (models fitted anew) has its share,
with the median and the largest. Processor time of one thread, so that other work on the machine does not count. Beside
ours stands Optuna's multivariate TPE as it is, without caps, repair or a duplicate filter. Writes
`benchmarks/results/ask_cost.json`.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import Any

import optuna
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import create_trial

from nas.budget import Budget
from nas.members import Members, NetworkMembers
from nas.problem import Problem
from nas.results import environment, write_whole
from nas.search.samplers.named import Wanted, sampler
from nas.search.samplers.space import distributions
from nas.space import Genotype
from nas.space_file import load_space
from nas.value import derive_seed

RESULT = Path(__file__).parent / "results" / "ask_cost.json"
TRIALS, OURS = (1_000, 10_000), ("cap", "evolution", "local", "random")
OPTUNA_ASKS = 10
CHOICES, VALUES = 40, 4


def plain() -> Members:
    """Return a problem of 40 choices whose cost is the sum of their values, at most two thirds of the largest."""
    problem = Problem(
        name="plain",
        choices={f"choice{i:02}": tuple(range(VALUES)) for i in range(CHOICES)},
        objectives={"quality": "maximize"},
        evaluate=lambda *_: NotImplemented,
        cost=lambda genotype: {"params": 1.0 + sum(map(int, genotype.values()))},
        caps={"params": 1 + CHOICES * (VALUES - 1) * 2 / 3},
    )
    return problem.members


SPACES: dict[str, Callable[[], Members]] = {
    "hybrid": lambda: NetworkMembers(load_space("hybrid"), Budget(params=1_500_000)),
    "plain": plain,
}


def quality(genotype: Genotype, rng: random.Random) -> float:
    """Return a made-up value: each gene adds a little, and there is noise."""
    return sum(derive_seed(name, str(value)) % 100 for name, value in genotype.items()) / 100 + rng.gauss(0, 1)


def told(members: Members, trials: int, objectives: int) -> list[tuple[dict[str, Any], list[float]]]:
    """Return random members within the cap, with their values."""
    rng, found = random.Random(0), []
    while len(found) < trials:  # ends: nearly every genotype can be repaired
        member = members.fit(members.random(rng))
        if member is not None:
            found.append((member, values(members, member, rng)[:objectives]))
    return found


def values(members: Members, member: Genotype, rng: random.Random) -> list[float]:
    return [quality(member, rng), members.costs(member)["params"]]


def measure(
    members: Members, past: list[tuple[dict[str, Any], list[float]]], asked: BaseSampler, asks: int
) -> dict[str, float]:
    """Return the milliseconds of the first ask and of those after it."""
    objectives, genes = len(past[0][1]), distributions(members.genes)
    study = optuna.create_study(directions=["maximize", "minimize"][:objectives], sampler=asked)
    study.add_trials([create_trial(params=member, distributions=genes, values=row) for member, row in past])
    rng, spent = random.Random(1), []
    for _ in range(asks + 1):
        started = time.thread_time()
        trial = study.ask(genes)
        spent.append(1000 * (time.thread_time() - started))
        study.tell(trial, values(members, trial.params, rng)[:objectives])
    first, *others = spent
    found = {"first": first, "mean": fmean(others), "median": median(others), "largest": max(others)}
    return {name: round(value, 2) for name, value in found.items()}


def samplers(members: Members, objectives: int, asks: int) -> dict[str, tuple[BaseSampler, int]]:
    """Return what is asked, and how often."""
    wanted = Wanted(members, [None, "params"][:objectives], seed=0)
    plainly = TPESampler(seed=0, multivariate=True, group=True, constant_liar=True)
    return {name: (sampler(name, wanted), asks) for name in OURS} | {"Optuna's TPE": (plainly, OPTUNA_ASKS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asks", type=int, default=120)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    rows = []
    for space, trials, objectives in product(SPACES, TRIALS, (1, 2)):
        members = SPACES[space]()
        past = told(members, trials, objectives)
        for name, (asked, asks) in samplers(members, objectives, arguments.asks).items():
            found = measure(members, past, asked, asks)
            rows.append({"space": space, "trials": trials, "objectives": objectives, "sampler": name, **found})
            print(f"{space:8} {trials:6,} trials, {objectives} objectives, {name:13} {found}", flush=True)
    kept = {"environment": environment(), "asks": arguments.asks, "milliseconds": rows}
    write_whole(RESULT, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
