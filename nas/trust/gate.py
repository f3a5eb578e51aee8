"""May an interference metric weigh in the decisions of a study? It must have earned that in the study itself.

The rule: among at least 30 networks of one size bin, trained from three seeds each, the partial rank correlation of the
metric with final accuracy, given log params, depth and proxy accuracy, is below zero with its whole 95 % interval: less
interference goes with better accuracy beyond what is known anyway. Until then, and wherever it fails, the metric is
measured and shown and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nas.pareto import Objective
from nas.records import StudyConfig, TrialRecord
from nas.trust.composite import NAME
from nas.trust.correlation import Correlation, bootstrap_interval, partial_rank_correlation, rank_correlation
from nas.trust.networks import Network, final_seeds, fullest_bin, networks, with_seeds
from nas.value import Value, derive_seed

__all__ = [
    "Correlation",
    "Verdict",
    "bootstrap_interval",
    "deciding",
    "judge",
    "partial_rank_correlation",
    "rank_correlation",
    "verdicts",
]

GATED = (
    *("interference", "cross_talk", "excess_coherence", "class_overlap", "importance_weighted"),
    *("redundancy", "channel_correlation"),
)
"""The objectives that decide nothing before they have earned it."""
NETWORKS, SEEDS = 30, 3
"""How many networks of one size bin the gate asks for, and trainings of each at the top rung."""


class Verdict(Value):
    """What a metric has earned in a study: `weight` is the absolute partial correlation, or 0 where it may not decide.

    `networks` counts those with `SEEDS` seeds in the size bin that has the most of them, `size_bin` is that bin.
    """

    metric: str
    weight: float
    reason: str
    networks: int = 0
    size_bin: int | None = None
    raw: Correlation | None = None
    partial: Correlation | None = None

    @property
    def words(self) -> str:
        """The verdict in one line."""
        effect = f"weight {self.weight:.2f} in decisions" if self.weight else "report-only"
        return f"{self.metric}: {effect} ({self.reason})"


def verdicts(config: StudyConfig, records: Iterable[TrialRecord], metrics: Sequence[str] = ()) -> tuple[Verdict, ...]:
    """Return the verdict on each of `metrics`, by default on the objectives of the study that need one."""
    wanted = tuple(metrics) or tuple(name for name in config.objectives if name in GATED)
    known = tuple(records)
    if not wanted or not any(final_seeds(record, config.fidelities[-1]) >= SEEDS for record in known):
        return tuple(judge((), name) for name in wanted)
    found = networks(config, known)
    return tuple(judge(found, name, seed=config.seed) for name in wanted)


def judge(found: Sequence[Network], metric: str = NAME, *, seed: int = 0) -> Verdict:
    """Return the verdict on a metric over the networks of a study; their order makes no difference."""
    trained = sorted(with_seeds(found, SEEDS), key=lambda each: each.number)
    size_bin = fullest_bin(trained)
    members = [each for each in trained if each.size_bin == size_bin]
    measured = [each for each in members if metric in each.scores]
    if len(measured) < NETWORKS:
        lacks = " and a measurement" * (len(measured) < len(members))
        reason = f"{len(measured)} of {NETWORKS} networks with three seeds{lacks} in one size bin"
        return Verdict(metric=metric, weight=0, reason=reason, networks=len(measured), size_bin=size_bin)
    raw, partial = correlations(measured, metric, seed=seed)
    return Verdict(
        metric=metric,
        weight=-partial.value if partial is not None and max(partial.value, partial.high) < 0 else 0,
        reason=_reason(partial, len(measured)),
        networks=len(measured),
        size_bin=size_bin,
        raw=raw,
        partial=partial,
    )


def correlations(
    found: Sequence[Network], score: str, *, seed: int = 0
) -> tuple[Correlation | None, Correlation | None]:
    """Return the rank correlation of a score with final accuracy, and the one given the controls of `Network`.

    Networks without the score or a final accuracy are left out; None where a correlation has no meaning.
    """
    rows = [each for each in found if score in each.scores and each.final_accuracy is not None]
    x, y = [each.scores[score] for each in rows], [each.final_accuracy or 0.0 for each in rows]
    controls = tuple(zip(*(each.controls for each in rows), strict=True)) or ((), (), ())
    drawn = derive_seed(seed, score, "bootstrap")
    return bootstrap_interval(x, y, seed=drawn), bootstrap_interval(x, y, controls, seed=drawn)


def deciding(objectives: Sequence[Objective], found: Iterable[Verdict]) -> tuple[Objective, ...]:
    """Return the objectives that take part in decisions: all but those without a weight; all where none would stay."""
    silent = {verdict.metric for verdict in found if not verdict.weight}
    return tuple(each for each in objectives if each.name not in silent) or tuple(objectives)


def _reason(partial: Correlation | None, count: int) -> str:
    if partial is None:
        return f"it does not vary over {count} networks beyond params, depth and proxy accuracy"
    interval = f"95 % interval {partial.low:.2f} to {partial.high:.2f}"
    words = f"partial rank correlation {partial.value:.2f}, {interval}, {count} networks"
    if partial.low > 0:
        return f"{words}; more of it goes with better accuracy"
    return words if partial.high < 0 else f"{words}; the interval holds zero"
