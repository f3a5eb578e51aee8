"""A study as its readers see it: records under a cap and objectives that may differ from those it was run with.

Raw measurements stay in the records; `StudyView.metrics` gives them with the composite `interference` refitted on the
study, and an interference metric that has earned no weight there is shown and decides nothing (`nas.trust`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from nas import pareto
from nas.budget import Budget
from nas.records import Fidelity, Measurement, ReferenceRecord, Status, StudyConfig, TrialRecord
from nas.trust import gate
from nas.trust.composite import NAME as COMPOSITE
from nas.trust.composite import Composite
from nas.trust.ladder import active_rungs
from nas.trust.measured import all_measured_at, measured_at


@dataclass(frozen=True)
class StudyView:
    """The records of a study, and what follows from them; its references only stand beside them."""

    config: StudyConfig
    records: tuple[TrialRecord, ...]
    budget: Budget
    objectives: tuple[pareto.Objective, ...]
    references: tuple[ReferenceRecord, ...] = ()
    is_asked: bool = False

    @classmethod
    def of(
        cls,
        config: StudyConfig,
        records: Sequence[TrialRecord],
        *,
        budget: Budget | None = None,
        objectives: Sequence[str] = (),
        references: Sequence[ReferenceRecord] = (),
    ) -> StudyView:
        """Return the view of a study, under its own caps and objectives unless others are given.

        Objectives that are given all decide what is on the front: who asks for one wants it.
        """
        wanted = pareto.objectives(tuple(objectives) or config.objectives)
        return cls(config, tuple(records), budget or config.budget, wanted, tuple(references), bool(objectives))

    @cached_property
    def verdicts(self) -> tuple[gate.Verdict, ...]:
        """What the interference metrics among the study's objectives have earned in it."""
        return gate.verdicts(self.config, self.records)

    @cached_property
    def deciding(self) -> tuple[pareto.Objective, ...]:
        """The objectives that decide what is on the front."""
        return self.objectives if self.is_asked else gate.deciding(self.objectives, self.verdicts)

    @property
    def trust_lines(self) -> tuple[str, ...]:
        """What is to be said of the interference metrics that are shown as objectives, a line for each fact."""
        shown = {objective.name for objective in self.objectives}
        decide = {objective.name for objective in self.deciding}
        why = "as it was asked for" if self.is_asked else "as there is no other objective"
        lines = [
            each.words + f"; here it decides, {why}" * (each.metric in decide and not each.weight)
            for each in self.verdicts
            if each.metric in shown
        ]
        if COMPOSITE in shown and self.compared_fidelity:
            lines.append(f"{COMPOSITE} shown: {self.composite(self.compared_fidelity).words}")
        return tuple(lines)

    @property
    def is_of_problem(self) -> bool:
        """Whether the candidates are no networks, but what somebody's own problem makes of them."""
        return self.config.kind == "problem"

    @property
    def caps(self) -> dict[str, float]:
        """The caps of the view, by the names of the costs; those of a problem are on costs of its own."""
        given = {name: getattr(self.budget, name) for name in type(self.budget).model_fields}
        known = {name: float(cap) for name, cap in given.items() if cap is not None}
        if not self.is_of_problem:
            return known
        return dict(self.config.caps) if self.budget == self.config.budget else {**self.config.caps, **known}

    @property
    def columns(self) -> tuple[str, ...]:
        """What a problem is shown by: its objectives, then its other costs."""
        return tuple(dict.fromkeys((*(objective.name for objective in self.objectives), *self.config.costs)))

    @cached_property
    def rungs(self) -> tuple[Fidelity, ...]:
        """The part of the ladder that is in use; whoever has reached its end is evaluated."""
        return active_rungs(self.records, self.config)

    def status(self, record: TrialRecord) -> Status:
        """Return what became of a trial or a reference."""
        return record.status(self.rungs)

    def fidelity_of(self, record: TrialRecord) -> Fidelity | None:
        """Return the fidelity that a record is shown at: the compared one, else the highest that its trial reached."""
        if self.compared_fidelity in [each.fidelity for each in record.measurements if each.is_complete]:
            return self.compared_fidelity
        own = [each.fidelity for each in record.own if each.is_complete]
        return next((rung for rung in reversed(self.config.fidelities) if rung in own), record.best_fidelity)

    def seeds(self, record: TrialRecord) -> tuple[int, ...]:
        """Return the seeds that a record's metrics are the means over."""
        return tuple(each.seed for each in self._shown(record))

    def values(self, record: TrialRecord, name: str) -> tuple[float, ...]:
        """Return what was measured of a metric from each seed that has it."""
        return tuple(each.metrics[name] for each in self._shown(record) if name in each.metrics)

    def _shown(self, record: TrialRecord) -> list[Measurement]:
        fidelity = self.fidelity_of(record)
        return [each for each in record.measurements if each.fidelity == fidelity and each.is_complete]

    def composite(self, fidelity: Fidelity) -> Composite:
        """Return the composite `interference`, fitted once on all records that were measured at a fidelity."""
        if fidelity not in self._composites:
            self._composites[fidelity] = Composite.fitted(all_measured_at(self.records, fidelity))
        return self._composites[fidelity]

    @cached_property
    def _composites(self) -> dict[Fidelity, Composite]:
        return {}

    def metrics(self, record: TrialRecord) -> dict[str, float]:
        """Return cost and the means over seeds at `fidelity_of`, `interference` refitted where that could be done."""
        fidelity = self.fidelity_of(record)
        found = measured_at(record, fidelity)
        return record.metrics if found is None or fidelity is None else self.composite(fidelity).metrics(found)

    @cached_property
    def counts(self) -> Counter[Status]:
        """How many trials have each status."""
        return Counter(map(self.status, self.records))

    @cached_property
    def eligible(self) -> tuple[TrialRecord, ...]:
        """The records that fit the caps and whose trials ran without a fault."""
        return tuple(filter(self._is_eligible, self.records))

    def _is_eligible(self, record: TrialRecord) -> bool:
        sound = self.status(record) in {Status.EVALUATED, Status.STOPPED_EARLY}
        return sound and self.budget.holds(record.cost)

    @cached_property
    def compared_fidelity(self) -> Fidelity | None:
        """The highest rung that the search itself has brought a trial under the caps to; further seeds move nothing."""
        reached = {each.fidelity for record in self.eligible for each in record.own if each.is_complete}
        return next((rung for rung in reversed(self.config.fidelities) if rung in reached), None)

    def _was_compared(self, record: TrialRecord) -> bool:
        return self.compared_fidelity in [each.fidelity for each in record.measurements if each.is_complete]

    @cached_property
    def compared(self) -> tuple[TrialRecord, ...]:
        """The records that fit the caps and were measured at the compared fidelity, whatever the seed."""
        return tuple(filter(self._was_compared, self.eligible))

    @cached_property
    def front(self) -> tuple[TrialRecord, ...]:
        """The compared records that none dominates, smallest first."""
        members = (self.compared[i] for i in pareto.front(list(map(self._point, self.compared)), self.deciding))
        return tuple(sorted(members, key=lambda record: (self._size(record), record.number)))

    def _size(self, record: TrialRecord) -> float:
        """Return the parameters; of a problem the first cost that it is shown by, and nothing without any."""
        if not self.is_of_problem:
            return record.cost.params
        return next((record.costs[name] for name in self.columns if name in record.costs), 0.0)

    def _point(self, record: TrialRecord) -> Mapping[str, float]:
        """Return the metrics of a record that decide; the composite takes its time, and seldom does."""
        found = measured_at(record, self.compared_fidelity)
        if found is None or COMPOSITE in {objective.name for objective in self.deciding}:
            return self.metrics(record)
        return found.metrics

    def is_compared(self, reference: ReferenceRecord) -> bool:
        """Return whether a reference fits the caps and was measured as the compared records were."""
        return self._is_eligible(reference) and self._was_compared(reference)

    def dominating(self, reference: ReferenceRecord) -> TrialRecord | None:
        """Return the smallest member of the front that dominates a compared reference; None when none does."""
        pairs = ((member, [self.metrics(member), self.metrics(reference)]) for member in self.front)
        return next((member for member, pair in pairs if pareto.front(pair, self.deciding) == [0]), None)

    def standing(self, reference: ReferenceRecord) -> str:
        """Return in words how a reference stands beside the front."""
        if self.is_compared(reference):
            winner = self.dominating(reference)
            return f"dominated by trial {winner.number}" if winner else "not dominated"
        if self._is_eligible(reference):
            return "measured at another fidelity"
        status = self.status(reference)
        return "over the cap" if status is Status.EVALUATED else str(status)

    @cached_property
    def best(self) -> TrialRecord | None:
        """The compared record with the best first objective."""
        if not self.compared:
            return None
        losses = pareto.losses([self.metrics(record) for record in self.compared], self.objectives[:1])
        return self.compared[int(losses[:, 0].argmin())]
