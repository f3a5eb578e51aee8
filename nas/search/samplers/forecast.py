"""What models say of the losses of members, and of the front, after the trials told so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import moocore
import numpy as np
from numpy.typing import NDArray

from nas.search.samplers.history import Row, Rows, Tried, Wanted, losses
from nas.surrogate.encoding import Codes, Floats
from nas.surrogate.ensemble import Surrogate, fit_surrogate
from nas.surrogate.priors import PriorModel
from nas.surrogate.target import soften

MOST_ROWS = 400
"""Models are fitted on at most so many trials: the best, the last, and others at even steps."""
LEAST_SPREAD = 0.02

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Forecast:
    """Losses of members as far as they are known: costs exactly, in their spread; measured ones as models predict them.

    `standing` orders the trials told, the best measured first; the first `front_size` are the front. `fitted` are the
    rows that models were fitted on.
    """

    objectives: Sequence[Wanted]
    surrogates: Sequence[Surrogate | None]
    scales: Floats
    priors: Sequence[Sequence[PriorModel]]
    standing: Sequence[Row]
    fitted: Sequence[Row]
    front_size: int
    _known: dict[tuple[int, ...], tuple[Floats, Floats]] = field(default_factory=dict, repr=False)

    def of(self, rows: Sequence[Row]) -> tuple[Floats, Floats]:
        """Return the means and standard deviations, an array (members, objectives) each."""
        missing = list({row.code: row for row in rows if row.code not in self._known}.values())
        if missing:
            means, spreads = self._predict(missing)
            self._known.update({row.code: (means[i], spreads[i]) for i, row in enumerate(missing)})
        both = np.array([self._known[row.code] for row in rows]).reshape(len(rows), 2, len(self.objectives))
        return both[:, 0], both[:, 1]

    def means(self, codes: Codes, scores: Floats) -> Floats:
        """Return the means of genotypes whose scores are guessed, an array (genotypes, objectives)."""
        means = np.zeros((len(codes), len(self.objectives)))
        names = sorted(self.fitted[0].costs)
        for k, (objective, model) in enumerate(zip(self.objectives, self.surrogates, strict=True)):
            if objective.cost is not None:
                logs = scores[:, names.index(objective.cost)]
                means[:, k] = objective.sign * np.sign(logs) * np.expm1(np.abs(logs)) / self.scales[k]
            elif model is not None:
                means[:, k] = model.mean(codes, np.hstack([scores, *_said(codes, self.priors[k])]))
        return means

    @property
    def best_elsewhere(self) -> list[tuple[int, ...]]:
        """The best genotypes of other studies, as places of their values."""
        groups = [group for groups in self.priors for group in groups]
        return [group.encoder.code(genotype) for group in groups for genotype in group.best]

    @property
    def quality(self) -> float:
        """The rank quality of the worst model of an objective; 1 where all are known."""
        return min((model.quality for model in self.surrogates if model is not None), default=1.0)

    def _predict(self, rows: Sequence[Row]) -> tuple[Floats, Floats]:
        means, spreads = np.zeros((len(rows), len(self.objectives))), np.zeros((len(rows), len(self.objectives)))
        codes = codes_of(rows)
        for k, (objective, model) in enumerate(zip(self.objectives, self.surrogates, strict=True)):
            if objective.cost is not None:
                means[:, k] = [objective.sign * row.costs[objective.cost] / self.scales[k] for row in rows]
            elif model is not None:
                means[:, k], spread = model.predict(codes, _scores(rows, codes, self.priors[k]))
                spreads[:, k] = np.maximum(spread, LEAST_SPREAD)
        return means, spreads


def forecast(
    rows: Rows, told: Sequence[Tried], objectives: Sequence[Wanted], priors: Sequence[Sequence[PriorModel]], seed: int
) -> Forecast:
    """Fit models of the measured objectives on the trials told."""
    measured = losses(told, len(objectives))
    standing = standing_of(measured)
    kept = _kept(standing)
    fitted = [told[i].row for i in kept]
    codes = codes_of(fitted)
    surrogates: list[Surrogate | None] = []
    scales = np.ones(len(objectives))
    for k, objective in enumerate(objectives):
        if objective.cost is None:
            scores = _scores(fitted, codes, priors[k])
            surrogates.append(fit_surrogate(rows.encoder, codes, scores, soften(measured[kept, k]), seed=seed))
        else:
            surrogates.append(None)
            scales[k] = float(np.std(measured[:, k])) or 1.0
    front_size = int(np.sum(layers_of(measured) == 0))
    return Forecast(objectives, surrogates, scales, priors, [told[i].row for i in standing], fitted, front_size)


def codes_of(rows: Sequence[Row]) -> Codes:
    """Return an array (rows, genes) of the places of the values."""
    return np.array([row.code for row in rows], dtype=np.int16)


def layers_of(measured: Floats) -> Places:
    """Return the non-dominated layer of each row, 0 being the front; rows without a loss are in the last."""
    known = np.all(np.isfinite(measured), axis=1)
    layers = np.full(len(measured), len(measured))
    if known.any():
        layers[known] = moocore.pareto_rank(measured[known])
    return layers


def standing_of(measured: Floats) -> Places:
    """Return the rows by their standing, the best first: by layers, and in each the last first."""
    return np.lexsort((-np.arange(len(measured)), layers_of(measured)))


def _kept(standing: Places) -> Places:
    """Return the trials that models are fitted on, in the order they finished."""
    count = len(standing)
    if count <= MOST_ROWS:
        return np.arange(count)
    chosen = {*standing[: MOST_ROWS // 2].tolist(), *range(count - MOST_ROWS // 4, count)}
    rest = [i for i in range(count) if i not in chosen]
    places = np.linspace(0, len(rest) - 1, MOST_ROWS - len(chosen)).round().astype(int)
    return np.array(sorted(chosen | {rest[i] for i in places}))


def _scores(rows: Sequence[Row], codes: Codes, priors: Sequence[PriorModel]) -> Floats:
    """Return what is known of members without measuring: scores of their costs, and what priors say."""
    costs = np.array([row.scores for row in rows]).reshape(len(rows), -1)
    return np.hstack([costs, *_said(codes, priors)])


def _said(codes: Codes, priors: Sequence[PriorModel]) -> list[Floats]:
    return [prior.predict(codes)[:, None] for prior in priors]
