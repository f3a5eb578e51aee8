"""Which candidates go on to the next fidelity: a rule over records, nothing stored."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nas import pareto
from nas.records import Fidelity, TrialRecord
from nas.trust.composite import NAME as COMPOSITE
from nas.trust.composite import Composite
from nas.trust.measured import all_measured_at


def next_promotion(
    records: Sequence[TrialRecord],
    claimed: frozenset[tuple[int, int]],
    fidelities: Sequence[Fidelity],
    objectives: Sequence[pareto.Objective],
    reduction: int,
) -> tuple[int, int] | None:
    """Return (trial number, rung) of the promotion that should run next, the highest rung first; None if none should.

    Asynchronous successive halving (Li et al. 2020, ASHA) on non-dominated layers (Schmucker et al. 2021, MO-ASHA): of
    n candidates measured on a rung, the best ceil(n / reduction) may be on the next one. Layers rank; inside a layer
    the first objective decides. `claimed` holds the (trial number, rung) that were promoted already. Of the objectives
    only those that may decide are given; `interference` is then the composite refitted on the records of the rung.
    """
    for rung in reversed(range(1, len(fidelities))):
        points = _points(records, fidelities[rung - 1], objectives)
        quota = -(-len(points) // reduction) if len(points) >= reduction else 0
        promoted = sum(1 for number, at in claimed if at == rung and number in points)
        if promoted < quota:
            ranked = (number for number in ranking(points, objectives) if (number, rung) not in claimed)
            for number in ranked:
                return number, rung
    return None


def metrics_at(record: TrialRecord, fidelity: Fidelity) -> dict[str, float] | None:
    """Return cost and measured metrics of `record` at one fidelity; None when it came to no end there."""
    for measurement in record.measurements:
        if measurement.fidelity == fidelity and measurement.is_complete:
            return {**record.cost.model_dump(), **measurement.metrics}
    return None


def _points(
    records: Sequence[TrialRecord], fidelity: Fidelity, objectives: Sequence[pareto.Objective]
) -> dict[int, dict[str, float]]:
    """Return by trial number what the records measured at one fidelity are ranked by."""
    found = ((record.number, metrics_at(record, fidelity)) for record in records)
    points = {number: metrics for number, metrics in found if metrics is not None}
    if COMPOSITE not in {objective.name for objective in objectives}:
        return points
    values = composite_values(records, fidelity)
    if values is None:
        return points
    return {number: {**metrics, COMPOSITE: values.get(number, math.inf)} for number, metrics in points.items()}


def composite_values(records: Sequence[TrialRecord], fidelity: Fidelity) -> dict[int, float] | None:
    """Return the composite refitted at one fidelity by trial number; None where each record's own, plain one stands."""
    measured = all_measured_at(records, fidelity)
    fitted = Composite.fitted(measured)
    values = {each.number: fitted.value(each) for each in measured}
    return {number: value for number, value in values.items() if value is not None} if fitted.bins else None


def ranking(points: dict[int, dict[str, float]], objectives: Sequence[pareto.Objective]) -> list[int]:
    """Return the trial numbers, best first: by non-dominated layer, then by the first objective, then by number."""
    numbers = sorted(points)
    values = [points[number] for number in numbers]
    layers = pareto.layers(values, objectives)
    firsts = pareto.losses(values, objectives[:1])[:, 0] if values else ()
    return [number for *_, number in sorted(zip(layers, firsts, numbers, strict=True))]
