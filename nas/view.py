"""A study as its readers see it: records under a cap and objectives that may differ from those it was run with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from nas import pareto
from nas.budget import Budget
from nas.records import Fidelity, Status, StudyConfig, TrialRecord


@dataclass(frozen=True)
class StudyView:
    """The records of a study, and what follows from them."""

    config: StudyConfig
    records: tuple[TrialRecord, ...]
    budget: Budget
    objectives: tuple[pareto.Objective, ...]

    @classmethod
    def of(
        cls,
        config: StudyConfig,
        records: Sequence[TrialRecord],
        *,
        budget: Budget | None = None,
        objectives: Sequence[str] = (),
    ) -> StudyView:
        """Return the view of a study, under its own caps and objectives unless others are given."""
        wanted = pareto.objectives(tuple(objectives) or config.objectives)
        return cls(config, tuple(records), budget or config.budget, wanted)

    @cached_property
    def counts(self) -> Counter[Status]:
        """How many trials have each status."""
        return Counter(record.status(self.config.fidelities) for record in self.records)

    @cached_property
    def _eligible(self) -> tuple[TrialRecord, ...]:
        """The records that fit the caps and whose trials ran without a fault."""
        return tuple(
            record
            for record in self.records
            if not self.budget.violations(record.cost)
            and record.status(self.config.fidelities) in {Status.EVALUATED, Status.STOPPED_EARLY}
        )

    @cached_property
    def compared_fidelity(self) -> Fidelity | None:
        """The highest rung that any trial under the caps has reached; only records that reached it are compared."""
        reached = {record.best_fidelity for record in self._eligible}
        return next((rung for rung in reversed(self.config.fidelities) if rung in reached), None)

    @cached_property
    def compared(self) -> tuple[TrialRecord, ...]:
        """The records that fit the caps and were measured at the compared fidelity."""
        return tuple(record for record in self._eligible if record.best_fidelity == self.compared_fidelity)

    @cached_property
    def front(self) -> tuple[TrialRecord, ...]:
        """The compared records that none dominates, smallest first."""
        points = [record.metrics for record in self.compared]
        members = (self.compared[i] for i in pareto.front(points, self.objectives))
        return tuple(sorted(members, key=lambda record: (record.cost.params, record.number)))

    @property
    def best(self) -> TrialRecord | None:
        """The compared record with the best first objective."""
        if not self.compared:
            return None
        losses = pareto.losses([record.metrics for record in self.compared], self.objectives[:1])
        return self.compared[int(losses[:, 0].argmin())]
