"""The problems of `tables.py`: tables of trained networks through the public interface, and made-up ones.

`table` makes a problem of any table: choices, a row for each genotype, which of its numbers are costs. A file of one is

    {"name": "mine", "choices": {"op1": ["skip", "conv"], "op2": ["skip", "conv"]},
     "objectives": {"accuracy": "maximize"}, "caps": {"params": 1000},
     "rows": [{"genotype": {"op1": "skip", "op2": "conv"}, "accuracy": [91.2, 91.4], "params": 900}, …]}

where a list holds one value for each seed, and a number is known without evaluating. A genotype without a row is no
member. `rows` may also map the values of the genotype, put together in the order of the choices ("skipconv"), to the
numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import synthetic

from nas.errors import InputError
from nas.pareto import Direction
from nas.problem import Problem
from nas.records import Candidate, Fidelity, Measurement
from nas.space import Genotype
from nas.value import derive_seed

MACRO_OPS = ("identity", "k3_e3", "k5_e6")
MACRO_STAGES = ((0, 2), (2, 5), (5, 8))
"""First and last layer of each stage of NAS-Bench-Macro; an identity that is not the first of its stage is nothing."""
MACRO_CAP = 1_500_000
MOST_ENUMERATED = 600_000

Row = Mapping[str, float | Sequence[float]]


@dataclass(frozen=True)
class Case:
    """A problem, what its measurements scatter about, and the corner that hypervolumes are counted from."""

    problem: Problem
    truth: Callable[[Genotype], Mapping[str, float]]
    reference: Mapping[str, float]

    def members(self) -> Iterator[dict[str, Any]]:
        """Yield every member within the caps, once; nothing where there are too many to look through."""
        known, genes = self.problem.members, self.problem.members.genes
        if _size(self.problem) > MOST_ENUMERATED:
            return
        seen = set()
        for values in product(*(gene.values for gene in genes)):
            genotype = {gene.name: value for gene, value in zip(genes, values, strict=True)}
            if known.load(genotype) > 1:
                continue
            key = known.key(genotype) if self.problem.normal else values  # a digest takes as long as all else
            if key not in seen:
                seen.add(key)
                yield genotype


def table(
    problem: Problem, rows: Callable[[Genotype], Row | None], reference: Mapping[str, float] | None = None
) -> Case:
    """Return a problem that looks its measurements up: one value of each list, drawn by the seed; numbers are costs.

    `problem` says all but `cost`, `evaluate` and what is a member; `rows` gives the row of a genotype, None for none.
    """

    def found(genotype: Genotype) -> Row:
        row = rows(genotype)
        if row is None:
            raise InputError(f"problem {problem.name}: the table has no row for {dict(genotype)}")
        return row

    def normal(genotype: Genotype) -> Genotype | None:
        given = genotype if problem.normal is None else problem.normal(genotype)
        return None if given is None or rows(given) is None else given

    def cost(genotype: Genotype) -> Mapping[str, float]:
        return {name: value for name, value in found(genotype).items() if not isinstance(value, Sequence)}

    def evaluate(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
        draw = derive_seed(seed, "draw")
        lists = {name: each for name, each in found(candidate.genotype).items() if isinstance(each, Sequence)}
        metrics = {name: each[draw % len(each)] for name, each in lists.items()}
        return Measurement(fidelity=fidelity, seed=seed, metrics=metrics)

    def truth(genotype: Genotype) -> Mapping[str, float]:
        return {n: fmean(each) if isinstance(each, Sequence) else each for n, each in found(genotype).items()}

    made = replace(problem, normal=normal, cost=cost, evaluate=evaluate)
    return Case(made, truth, reference or {})


def from_file(path: Path) -> Case:
    """Return the problem of a file as the module describes it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    names, rows = list(content["choices"]), content["rows"]
    if isinstance(rows, list):
        keyed = {tuple(row["genotype"][name] for name in names): row for row in rows}
        rows = {key: {n: v for n, v in row.items() if n != "genotype"} for key, row in keyed.items()}
        get = partial(_row_of, rows, names)
    else:
        get = partial(_joined, rows, names)
    problem = Problem(
        name=content.get("name", path.stem),
        choices=content["choices"],
        objectives=content["objectives"],
        evaluate=_none,
        caps=content.get("caps", {}),
    )
    return _with_reference(table(problem, get))


def macro(path: Path, *more: str) -> Case:
    """Return NAS-Bench-Macro: eight layers of three kinds, at most 1.5M parameters; `more` are minimised as well."""
    content = json.loads(path.read_text(encoding="utf-8"))
    digits = {op: str(i) for i, op in enumerate(MACRO_OPS)}
    rows = {
        key: {"accuracy": tuple(row["test_acc"]), "params": row["params"], "flops": row["flops"]}
        for key, row in content.items()
    }

    def normal(genotype: Genotype) -> Genotype:
        values = list(genotype.values())
        for first, last in MACRO_STAGES:
            rest = [value for value in values[first + 1 : last] if value != "identity"]
            values[first + 1 : last] = rest + ["identity"] * (last - first - 1 - len(rest))
        return dict(zip(genotype, values, strict=True))

    objectives: dict[str, Direction] = {"accuracy": "maximize", **dict.fromkeys(more, "minimize")}
    problem = Problem(
        name="-".join(("macro", *more)),
        choices={f"layer{i}": MACRO_OPS for i in range(8)},
        objectives=objectives,
        evaluate=_none,
        caps={"params": MACRO_CAP},
        normal=normal,
    )
    case = table(problem, lambda genotype: rows["".join(digits[str(value)] for value in genotype.values())])
    return _with_reference(case)


MADE_UP: dict[str, Callable[[int], synthetic.Synthetic]] = {
    "saturating": synthetic.saturating,
    "size_misleads": synthetic.size_misleads,
    "rugged": synthetic.rugged,
    "lottery": synthetic.lottery,
    "long": synthetic.long,
    "noisy": synthetic.noisy,
    **{
        "-".join((function.__name__, *more)): partial(function, more=more)
        for function in (synthetic.saturating, synthetic.size_misleads, synthetic.long)
        for more in (("size",), ("size", "delay"))
    },
}

FRESH = ("rugged", "lottery")
"""Of these every repeat has a table of its own: what suits one of them by luck is no merit of a sampler."""


@lru_cache(maxsize=4)
def case(name: str, path: Path | None, draw: int = 0) -> Case:
    """Return a problem by its name: `file` and `macro` read the path, all others are made up.

    `draw` is the seed of those that are `FRESH`; there is one of each of the others.
    """
    if name == "file" and path is not None:
        return from_file(path)
    kind, *more = name.split("-")
    if kind == "macro" and path is not None:
        return macro(path, *more)
    made = MADE_UP[name](draw if name in FRESH else 0)
    return Case(replace(made.problem, name=name), made.truth, made.reference)


def _with_reference(found: Case) -> Case:
    """Return a case with the worst corner of its members as reference: the lower quartile of what is maximised."""
    if len(found.problem.objectives) == 1 or _size(found.problem) > MOST_ENUMERATED:
        return found
    points = [found.truth(member) for member in found.members()]
    corner = {}
    for name, direction in found.problem.objectives.items():
        values = sorted(point[name] for point in points)
        corner[name] = values[len(values) // 4] if direction == "maximize" else values[-1]
    return replace(found, reference=corner)


def _size(problem: Problem) -> int:
    size = 1
    for values in problem.choices.values():
        size *= len(values)
    return size


def _row_of(rows: Mapping[Any, Row], names: Sequence[str], genotype: Genotype) -> Row | None:
    return rows.get(tuple(genotype[name] for name in names))


def _joined(rows: Mapping[str, Row], names: Sequence[str], genotype: Genotype) -> Row | None:
    return rows.get("".join(str(genotype[name]) for name in names))


def _none(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
    raise InputError(f"{candidate.number}, {fidelity}, {seed}: not looked up yet")
