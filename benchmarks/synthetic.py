"""Made-up search problems with a known truth: where size misleads, where models are wrong, long ones, noisy ones.

Each function returns the problem, whose measurements are noisy, and the truth behind them. All are seeded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from nas.pareto import Direction
from nas.problem import Problem
from nas.records import Candidate, Fidelity, Measurement
from nas.space import GeneValue, Genotype
from nas.value import derive_seed

Truth = Callable[[Genotype], dict[str, float]]
Codes = tuple[int, ...]


@dataclass(frozen=True)
class Synthetic:
    """A problem, what its measurements scatter about, and the worst corner that hypervolumes are counted from."""

    problem: Problem
    truth: Truth
    reference: Mapping[str, float]


def saturating(seed: int = 0, *, genes: int = 10, noise: float = 0.15, more: tuple[str, ...] = ()) -> Synthetic:
    """Larger is better up to a point, as in tables of trained networks; a heavy tail of bad members."""
    rng = np.random.default_rng(derive_seed(seed, "saturating"))
    effects, pairs = _effects(rng, genes, 3)

    def score(codes: Codes) -> float:
        size = sum((i + 1) * code for i, code in enumerate(codes)) / (2 * sum(range(1, genes + 1)))
        raw = 3 * size + _total(codes, effects, pairs)
        return 93 - 0.8 * math.exp(2.2 - 1.1 * raw)

    return _made("saturating", score, genes=genes, noise=noise, share=0.55, more=more)


def size_misleads(seed: int = 0, *, genes: int = 12, noise: float = 0.1, more: tuple[str, ...] = ()) -> Synthetic:
    """The best members have about 45 % of the cap: what is larger is worse, and which genes are large matters more."""
    rng = np.random.default_rng(derive_seed(seed, "size"))
    effects, pairs = _effects(rng, genes, 3)

    def score(codes: Codes) -> float:
        size = sum((i + 1) * code for i, code in enumerate(codes)) / (2 * sum(range(1, genes + 1)))
        return 90 + _total(codes, effects, pairs) - 12 * (size - 0.25) ** 2

    return _made("size_misleads", score, genes=genes, noise=noise, share=0.55, more=more)


def rugged(seed: int = 0, *, genes: int = 10, epistasis: int = 4, noise: float = 0.02) -> Synthetic:
    """An NK landscape: the share of each gene depends on its own value and on those of `epistasis` others."""
    rng = np.random.default_rng(derive_seed(seed, "rugged"))
    others = [
        (i, *rng.choice([j for j in range(genes) if j != i], epistasis, replace=False).tolist()) for i in range(genes)
    ]
    tables = rng.random((genes, *(3,) * (epistasis + 1)))

    def score(codes: Codes) -> float:
        return 10 * sum(float(tables[i][tuple(codes[j] for j in places)]) for i, places in enumerate(others)) / genes

    return _made("rugged", score, genes=genes, noise=noise, share=0.55)


def lottery(seed: int = 0, *, genes: int = 8) -> Synthetic:
    """Every member has a value of its own: nothing can be learnt, and none should be lost by trying."""

    def score(codes: Codes) -> float:
        return float(np.random.default_rng(derive_seed(seed, repr(codes))).normal())

    return _made("lottery", score, genes=genes, noise=0.0, share=0.55)


def long(seed: int = 0, *, genes: int = 30, noise: float = 0.1, more: tuple[str, ...] = ()) -> Synthetic:
    """Thirty genes, of which a third matter, some in pairs; size helps a little."""
    rng = np.random.default_rng(derive_seed(seed, "long"))
    effects, pairs = _effects(rng, genes, 3)
    effects = effects * (rng.random((genes, 1)) < 0.35)
    pairs = {places: table for places, table in pairs.items() if rng.random() < 0.1}

    def score(codes: Codes) -> float:
        size = sum((i + 1) * code for i, code in enumerate(codes)) / (2 * sum(range(1, genes + 1)))
        return 80 + 2 * _total(codes, effects, pairs) + 2 * size

    return _made("long", score, genes=genes, noise=noise, share=0.5, more=more)


def noisy(seed: int = 0, *, genes: int = 10, more: tuple[str, ...] = ()) -> Synthetic:
    """Measurements scatter as much as the better half of the members differ."""
    quiet = saturating(seed, genes=genes)
    members, rng = quiet.problem.members, random.Random(derive_seed(seed, "noisy"))
    drawn = [members.fit(members.random(rng)) for _ in range(300)]
    values = np.array([quiet.truth(member)["accuracy"] for member in drawn if member is not None])
    spread = float(np.std(values[values >= np.median(values)]))
    return saturating(seed, genes=genes, noise=spread, more=more)


def _effects(rng: np.random.Generator, genes: int, values: int) -> tuple[np.ndarray, dict[tuple[int, int], np.ndarray]]:
    """Return the effect of each value of each gene, and of each pair of values of each pair of genes."""
    effects = rng.normal(size=(genes, values))
    pairs = {places: rng.normal(size=(values, values)) * 1.5 / genes for places in combinations(range(genes), 2)}
    return effects / math.sqrt(genes), pairs


def _total(codes: Codes, effects: np.ndarray, pairs: Mapping[tuple[int, int], np.ndarray]) -> float:
    single = sum(float(effects[i, code]) for i, code in enumerate(codes))
    return single + sum(float(table[codes[i], codes[j]]) for (i, j), table in pairs.items())


def _made(
    name: str, score: Callable[[Codes], float], *, genes: int, noise: float, share: float, more: tuple[str, ...] = ()
) -> Synthetic:
    """Return the problem of the best `score` of genes of three values, up to a `share` of the largest size.

    `more` are objectives besides `accuracy`: `size`, which is known, and `delay`, which is measured.
    """
    choices: dict[str, tuple[GeneValue, ...]] = {
        f"g{i}": ("a", "b", "c") if i % 4 == 3 else (0, 1, 2) for i in range(genes)
    }
    names = list(choices)

    def codes_of(genotype: Genotype) -> Codes:
        return tuple(choices[name].index(genotype[name]) for name in names)

    def cost(genotype: Genotype) -> dict[str, float]:
        return {"size": 1.0 + sum((i + 1) * code for i, code in enumerate(codes_of(genotype)))}

    def truth(genotype: Genotype) -> dict[str, float]:
        codes = codes_of(genotype)
        delay = 1 + sum((genes - i) * (code if i % 2 else (2 - code) ** 2 / 2) for i, code in enumerate(codes))
        return {"accuracy": score(codes), "delay": delay / genes, **cost(genotype)}

    def evaluate(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
        found = truth(candidate.genotype)
        rng = np.random.default_rng(derive_seed(seed, repr(codes_of(candidate.genotype)), "noise"))
        metrics = {
            "accuracy": found["accuracy"] + noise * rng.normal(),
            "delay": found["delay"] * (1 + 0.02 * rng.normal()),
        }
        return Measurement(fidelity=fidelity, seed=seed, metrics=metrics)

    objectives: dict[str, Direction] = {"accuracy": "maximize"}
    for extra in more:
        objectives[extra] = "minimize"
    largest = 1.0 + 2 * sum(range(1, genes + 1))
    problem = Problem(
        name=name, choices=choices, objectives=objectives, evaluate=evaluate, cost=cost, caps={"size": share * largest}
    )
    drawn = np.random.default_rng(0).integers(3, size=(500, genes))
    scores = [score(tuple(row)) for row in drawn.tolist()]
    delays = [
        truth({name: choices[name][i] for name, i in zip(names, row, strict=True)})["delay"] for row in drawn.tolist()
    ]
    worst = {
        "accuracy": float(np.quantile(scores, 0.25)),
        "size": share * largest,
        "delay": float(np.quantile(delays, 0.9)),
    }
    return Synthetic(problem, truth, {name: worst[name] for name in objectives})
