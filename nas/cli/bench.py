"""`nas bench`: what things cost on this machine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from itertools import islice
from statistics import median
from typing import TypeVar

from nas.budget import Budget
from nas.cli.output import print_json, print_table
from nas.feasibility import genotype_cost, repair
from nas.space import Genotype, SearchSpace
from nas.space_file import load_space

T = TypeVar("T")

REPAIRS = 200
DRAWS = 10 * REPAIRS


def cost_command(name: str, members: int, *, as_json: bool) -> None:
    """Print the median time of the closed form, of building, and of building and tracing, for the same members.

    Beside them stands the repair of members over the cap, each seen for the first time.
    """
    from nas.audit import count as traced_count
    from nas.budget import cost
    from nas.network.build import build

    space = load_space(name)
    task, budget = space.target.task, space.target.budget()
    rng = random.Random(0)
    architectures = [space.decode(space.random(rng)) for _ in range(members)]
    for architecture in architectures:
        cost(architecture, task)  # fills the cache of blocks, as a running search has
    seconds = {
        "closed form": _median_seconds(lambda a: cost(a, task), architectures, repeats=50),
        "build": _median_seconds(lambda a: build(a, task), architectures),
        "build and trace (fvcore)": _median_seconds(lambda a: traced_count(build(a, task), task), architectures),
    }
    if over := _over_the_cap(space, budget, rng):
        seconds["repair into the cap"] = _median_seconds(lambda g: repair(space, g, budget), over)
    wrong = sum(
        (expected := cost(a, task)).params != (found := traced_count(build(a, task), task))[0]
        or expected.macs != found[1]
        for a in architectures
    )
    speedup = seconds["build and trace (fvcore)"] / seconds["closed form"]
    if as_json:
        print_json({"space": name, "members": members, "seconds": seconds, "speedup": speedup, "disagreements": wrong})
        return
    rows = [
        [step, f"{1e6 * value:,.0f} µs", f"{value / seconds['closed form']:,.0f}x"] for step, value in seconds.items()
    ]
    print_table(["median of one network", "time", "closed form = 1"], rows, title=f"{members} members of {name}")
    print(f"closed form and fvcore disagree on {wrong} of {members}")


def _over_the_cap(space: SearchSpace, budget: Budget, rng: random.Random) -> list[Genotype]:
    """Return random members over the cap, or fewer than `REPAIRS` where they are rare."""
    drawn = (space.random(rng) for _ in range(DRAWS))
    return list(islice((member for member in drawn if budget.violations(genotype_cost(space, member))), REPAIRS))


def _median_seconds(work: Callable[[T], object], subjects: Sequence[T], repeats: int = 1) -> float:
    times = []
    for subject in subjects:
        started = time.perf_counter()
        for _ in range(repeats):
            work(subject)
        times.append((time.perf_counter() - started) / repeats)
    return median(times)
