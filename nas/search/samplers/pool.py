"""New members with the largest expected gain, found by mutation and crossover from the best known."""

from __future__ import annotations

import random
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from nas.members import Members
from nas.search.samplers.acquisition import Boxes, expected_gain, room_of
from nas.search.samplers.forecast import Forecast, codes_of, layers_of
from nas.search.samplers.history import Row, Rows
from nas.search.samplers.screen import Costed, Screen, fit_screen
from nas.surrogate.encoding import Codes, Floats

ROUNDS = 5
CHILDREN = 240
FITTED = 32
ALIKE = 8
"""Of the children of a round so many are fitted into the caps: the most promising of those that seem to keep to them,
and of all, which repair may make better members of.
"""
PARENTS = 16
MOST_KEPT = 200
SLACK = 0.1
"""How far the reference point lies beyond the worst loss, as a share of the span of losses."""

Code = tuple[int, ...]


@dataclass(frozen=True)
class Pool:
    """Members that were not tried, the most promising first; gains are counted from `front` up to `reference`."""

    forecast: Forecast
    rows: Sequence[Row]
    front: Floats
    reference: Floats
    room: Boxes

    def gains(self, rows: Sequence[Row], since: Sequence[Row]) -> Floats:
        """Return the expected gain of each row, less near those tried `since` the models were fitted.

        They count as if they had been measured as predicted.
        """
        means, spreads = self.forecast.of(rows)
        room = self.room
        if since:
            front = np.vstack([self.front, self.forecast.of(since)[0]])
            room = room_of(front[layers_of(front) == 0], self.reference)
        return expected_gain(means, spreads, room) * _apart(rows, since)


def _apart(rows: Sequence[Row], since: Sequence[Row]) -> Floats:
    """Return 1 for rows far from all others, less for the neighbours of some."""
    if not since or not rows:
        return np.ones(len(rows))
    codes, others = np.array([row.code for row in rows]), np.array([row.code for row in since])
    differing = np.sum(codes[:, None] != others[None], axis=2)
    factors: Floats = np.prod(1 - 0.5 * np.exp(1.0 - np.maximum(differing, 1.0)), axis=1)
    return factors


def make_pool(members: Members, rows: Rows, forecast: Forecast, known: Costed, tried: Set[Code], seed: int) -> Pool:
    """Search the members for gain: the children of the best, and the children of the best of those.

    None is of a code `tried`; one may still be the same network as one that was.
    """
    rng = np.random.default_rng(seed)
    sizes = np.array([len(gene.values) for gene in members.genes], dtype=np.int16)
    means, _ = forecast.of(forecast.fitted)
    layers = layers_of(means)
    worst, best = means.max(axis=0), means.min(axis=0)
    span = np.where(worst > best, worst - best, 1.0)
    front, reference = means[layers == 0], worst + SLACK * span
    pool = Pool(forecast, [], front, reference, room_of(front, reference))
    parents = [forecast.fitted[i] for i in np.argsort(layers, kind="stable")[:PARENTS]]
    elsewhere = [rows.fitted(code) for code in dict.fromkeys(forecast.best_elsewhere)]
    found = {row.code: row for row in elsewhere if row is not None and row.code not in tried}
    parents += found.values()
    looked = set(tried)
    for _ in range(ROUNDS):
        screen = fit_screen(known, rows, [*forecast.fitted, *found.values()])
        made = children(codes_of(parents), sizes, rng)
        for code in promising([each for each in made if each not in looked], pool, screen):
            looked.add(code)
            row = rows.fitted(code)
            if row is not None and row.code not in tried:
                found[row.code] = row
        candidates = list(found.values())
        if not candidates:
            continue
        ranked = [candidates[i] for i in np.argsort(-pool.gains(candidates, []), kind="stable")]
        parents = [*parents[: PARENTS // 2], *ranked[: PARENTS // 2]]
    candidates = list(found.values())
    ranked = [candidates[i] for i in np.argsort(-pool.gains(candidates, []), kind="stable")[:MOST_KEPT]]
    return replace(pool, rows=ranked)


def promising(made: Sequence[Code], pool: Pool, screen: Screen) -> list[Code]:
    """Return those of the genotypes that seem to gain most, by what they are guessed to cost."""
    if not made:
        return []
    codes = np.array(made, dtype=np.int16)
    loads, scores = screen.guess(codes)
    means = pool.forecast.means(codes, scores)
    spread = np.median(pool.forecast.of(pool.forecast.fitted)[1], axis=0)
    gains = expected_gain(means, np.tile(spread, (len(codes), 1)), pool.room)
    order = np.argsort(-gains, kind="stable")
    within = order[loads[order] <= 1][:FITTED]
    chosen = [*within, *[i for i in order[: FITTED + ALIKE] if i not in set(within)][:ALIKE]]
    return [tuple(code) for code in codes[chosen].tolist()]


def children(parents: Codes, sizes: Codes, rng: np.random.Generator) -> list[Code]:
    """Return genotypes made from the parents: one or two genes changed, two parents crossed, and a few at random."""
    made = parents[rng.integers(len(parents), size=CHILDREN)]
    kind = rng.random(CHILDREN)
    crossed, fresh = kind < 0.3, kind > 0.95
    others = parents[rng.integers(len(parents), size=CHILDREN)]
    made = np.where(crossed[:, None] & (rng.random(made.shape) < 0.5), others, made)
    made = np.where(fresh[:, None], rng.integers(0, sizes, size=made.shape), made)
    changes = np.where(crossed, rng.integers(2, size=CHILDREN), 1 + rng.integers(3, size=CHILDREN) // 2)
    able = np.flatnonzero(sizes > 1)
    for change in range(2 if len(able) else 0):
        rows = np.flatnonzero(changes > change)
        genes = rng.choice(able, size=len(rows))
        made[rows, genes] = (made[rows, genes] + rng.integers(1, sizes[genes])) % sizes[genes]
    return list(dict.fromkeys(map(tuple, made.tolist())))


def changed(code: Code, sizes: Sequence[int], count: int, rng: random.Random) -> Code:
    """Return the code with `count` genes at another value."""
    able = [i for i, size in enumerate(sizes) if size > 1]
    new = list(code)
    for i in rng.sample(able, min(count, len(able))):
        new[i] = (code[i] + rng.randrange(1, sizes[i])) % sizes[i]
    return tuple(new)
