"""What does a study take over from others, and what do their other records tell its sampler?"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from nas import pareto
from nas.architecture import Architecture
from nas.errors import StudyError
from nas.members import Choices, Members, difference
from nas.records import Candidate, Measurement, Recipe, ReferenceRecord, StudyConfig
from nas.search.comparable import comparable, words
from nas.search.history import History
from nas.search.ledger import CANDIDATE, FROM, MEASUREMENT, PROMOTES, RUNG, SEED, FinishedTrial, StoredTrial
from nas.search.proposals import stored_values
from nas.search.samplers.space import distributions
from nas.search.sources import Places, Source
from nas.space import SearchSpace
from nas.surrogate.priors import PriorGroup
from nas.training.plan_options import PlanOverrides
from nas.value import compact_json

OTHERS = "other members here"


@dataclass(frozen=True)
class TakenOver:
    """Trials of other studies that stand in a new one from its creation: its candidates, its rungs, its repeats.

    `lines` say of each source how much was taken over, and why not more.
    """

    candidates: Sequence[FinishedTrial] = ()
    rungs: Sequence[FinishedTrial] = ()
    repeats: Sequence[FinishedTrial] = ()
    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)
    lines: Sequence[str] = ()


def choices_of(config: StudyConfig) -> Choices:
    """Return what is chosen in a study: the values of each gene, or those of a problem's choices."""
    if config.kind == "problem":
        found: Choices = json.loads(config.space_text)
        return found
    return genes_of(config.space)


def genes_of(space: SearchSpace) -> Choices:
    """Return the values of each gene of a space."""
    return {gene.name: gene.values for gene in space.genes}


def sources_of(names: Sequence[str], places: Places, *, kind: str, choices: Choices, study: str) -> tuple[Source, ...]:
    """Return the studies called `names`, of which one of this kind over these choices, called `study`, can start.

    StudyError for an unknown one, for itself, for one of the other kind, and for one of another space, whose genes
    that differ are named.
    """
    found = []
    for name in names:
        if name == study:
            raise StudyError(f"warm start: study {name!r} cannot start from itself")
        source = places.find(name)
        if source.config.kind != kind:
            its = "of networks" if source.config.kind == "networks" else "of a problem of its own"
            raise StudyError(f"warm start: study {name!r} is {its}, this one is not")
        if differ := difference(choices, choices_of(source.config), "here", "there"):
            raise StudyError(f"warm start: study {name!r} is of another space: {differ}")
        found.append(source)
    return tuple(found)


def as_before(
    overrides: PlanOverrides, recipe: Recipe, sources: Sequence[Source], *, fingerprint: str, device: str
) -> PlanOverrides:
    """Return the overrides with the batch size and the precision of the first source with such trainings.

    Otherwise a measurement of speed would decide whether its records can be compared.
    """
    for source in sources:
        its = source.config
        is_alike = (
            its.data_fingerprint == fingerprint
            and its.recipe.model_copy(update={"batch_size": recipe.batch_size}) == recipe
            and its.plan.device.partition(":")[0] == device.partition(":")[0]
        )
        if is_alike:
            before = {"batch_size": its.recipe.batch_size, "precision": its.plan.precision}
            return overrides.model_copy(update=before | overrides.decided)
    return overrides


def take_over(
    config: StudyConfig,
    members: Members,
    sources: Sequence[Source],
    accept: Callable[[Architecture], object] = lambda _: None,
) -> TakenOver:
    """Return what a new study takes over: candidates that are members within its caps, measured as it measures.

    A candidate keeps the seed of its first training, and with it comes every comparable training of it: its own on the
    higher rungs, and those from further seeds. What a limit of time or memory stopped is not taken over: here it may
    come to its end. `accept` sees every network whose cost was counted on another target, and raises to refuse it.
    """
    found: list[_Found] = []
    seen: set[str] = set()
    lines = []
    for source in sources:
        shared, reasons = comparable(source.config, config)
        left: dict[int, str] = {}
        for number in source.own if shared else ():
            candidate = _candidate(config, members, source.own[number][0], len(found))
            if isinstance(candidate, str) or candidate.architecture.arch_id in seen:
                left[number] = candidate if isinstance(candidate, str) else "taken over already"
            else:
                if source.config.target != config.target and isinstance(candidate.architecture, Architecture):
                    accept(candidate.architecture)
                seen.add(candidate.architecture.arch_id)
                found.append(_Found(source, number, candidate, shared))
        rest = left.keys() if shared else source.own.keys()
        lines.append(_line(source, config, rest, (*reasons, *_counted(left), *_higher(source, shared))))
    return TakenOver(
        candidates=[each.trial(config) for each in found],
        rungs=[trial for each in found for trial in each.rungs(config)],
        repeats=[trial for each in found for trial in each.repeats()],
        distributions=distributions(members.genes),
        lines=lines,
    )


def take_over_again(config: StudyConfig, members: Members | None, places: Places) -> TakenOver:
    """Return what a study takes over of those that its configuration names, as far as they can still be read."""
    return take_over(config, members, sources_again(config, places)) if members is not None else TakenOver()


def sources_again(config: StudyConfig, places: Places) -> list[Source]:
    """Return the studies that one was started from, as they were then, without those that are gone or others now."""
    found = places.read_again(config.warm_start)
    return [each for each in found if each.config.kind == config.kind and not _other_genes(config, each)]


class Priors:
    """What the sources of a study say of genotypes that it has not measured itself: read once, when first asked.

    A group for each rung of each source, without the measurements that were taken over. A source that is gone says
    nothing.
    """

    def __init__(self, config: StudyConfig, history: History, places: Places) -> None:
        self._config, self._history, self._places = config, history, places

    def __call__(self, objectives: Sequence[pareto.Objective]) -> tuple[PriorGroup, ...]:
        """Return the groups, with a value for each objective."""
        return tuple(group for source in self._sources for group in self._groups(source, objectives))

    @cached_property
    def _sources(self) -> list[Source]:
        return sources_again(self._config, self._places)

    def _groups(self, source: Source, objectives: Sequence[pareto.Objective]) -> Iterator[PriorGroup]:
        shared, _ = comparable(source.config, self._config)
        taken = set(self._history.taken.values())
        for rung in range(len(source.config.fidelities)):
            rows = [
                (own[rung].candidate, own[rung].measurement)
                for number, own in source.own.items()
                if rung in own and not (rung < shared and origin(source, number) in taken)
            ]
            done = [(candidate, made) for candidate, made in rows if made is not None and made.is_complete]
            metrics = [{**candidate.known, **made.metrics} for candidate, made in done]
            values = [[each.get(objective.name) for objective in objectives] for each in metrics]
            if values:
                yield PriorGroup([candidate.genotype for candidate, _ in done], values)


def missing(config: StudyConfig, places: Places) -> list[str]:
    """Return a line for each source of a study that cannot be read any more."""
    there = {source.config.name for source in sources_again(config, places)}
    gone = [mark.study for mark in config.warm_start if mark.study not in there]
    return [f"warm start from {name}: it cannot be read any more; the search goes on without it" for name in gone]


def origin(source: Source, number: int) -> str:
    """Return how a candidate that was taken over is marked: the study that measured it, and its number there."""
    return f"{source.config.name}:{number}"


@dataclass(frozen=True)
class _Found:
    """A candidate that is taken over: its source, its number there, itself as it is here, how many rungs count."""

    source: Source
    number: int
    candidate: Candidate
    shared: int

    def trial(self, config: StudyConfig) -> FinishedTrial:
        """Return its trial among the candidates."""
        attributes = {CANDIDATE: compact_json(self.candidate)}
        trial = self._trial(self.source.own[self.number][0], attributes, pareto.objectives(config.objectives))
        return replace(trial, params=self.candidate.genotype)

    def rungs(self, config: StudyConfig) -> Iterator[FinishedTrial]:
        """Yield its promotions, and its replicates."""
        objectives, attributes = pareto.objectives(config.objectives), {CANDIDATE: compact_json(self.candidate)}
        own = self.source.own[self.number]
        for rung in range(1, self.shared):
            if rung in own and not _measured(own[rung]).stopped:
                yield self._trial(own[rung], {**attributes, PROMOTES: (self.candidate.number, rung)}, objectives)
        for again in self.source.replicates.get(self.number, ()):
            given = {**attributes, PROMOTES: (self.candidate.number, 0), SEED: again.attributes[SEED]}
            yield self._trial(again, given, objectives)

    def repeats(self) -> Iterator[FinishedTrial]:
        """Yield its trainings from further seeds, as `nas.search.fidelity` names them."""
        named = ReferenceRecord(name=f"trial {self.candidate.number}", **dict(self.candidate))
        for trial in self.source.further.get(self.number, ()):
            rung = int(trial.attributes.get(RUNG, len(self.source.config.fidelities) - 1))
            if rung < self.shared and not _measured(trial).stopped:
                given = {CANDIDATE: compact_json(named), SEED: trial.attributes[SEED], RUNG: rung}
                yield self._trial(trial, given, (pareto.Objective("val_accuracy", "maximize"),))

    def _trial(
        self, trial: StoredTrial, attributes: Mapping[str, object], objectives: Sequence[pareto.Objective]
    ) -> FinishedTrial:
        made = _measured(trial)
        is_complete = made.is_complete
        return FinishedTrial(
            state=TrialState.COMPLETE if is_complete else TrialState.PRUNED,
            attributes={**attributes, MEASUREMENT: compact_json(made), FROM: origin(self.source, self.number)},
            values=stored_values(self.candidate, made, objectives) if is_complete else (),
        )


def _other_genes(config: StudyConfig, source: Source) -> str:
    return difference(choices_of(config), choices_of(source.config), "here", "there")


def _measured(trial: StoredTrial) -> Measurement:
    assert trial.measurement is not None  # a source holds no others
    return trial.measurement


def _candidate(config: StudyConfig, members: Members, trial: StoredTrial, number: int) -> Candidate | str:
    """Return the candidate of a source as that of a number here; in words why it is none."""
    past, made = trial.candidate, _measured(trial)
    if made.stopped:
        return "stopped by a limit"
    load = members.load(past.genotype)
    fitted = members.fit(past.genotype) if load <= 1 else None
    if fitted is None:
        return OTHERS if math.isinf(load) else "over the cap"
    candidate = members.candidate(number, fitted)
    if candidate.architecture != past.architecture:
        return OTHERS
    lacks = [name for name in config.measured(candidate) if name not in made.metrics] if made.is_complete else []
    return f"without {lacks[0]}" if lacks else candidate


def _counted(left: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(f"{count} {why}" for why, count in Counter(left.values()).items())


def _higher(source: Source, shared: int) -> Iterator[str]:
    """Yield which rungs of a source are others than those of the study, though the lower ones are not."""
    if shared and any(rung >= shared for own in source.own.values() for rung in own):
        yield f"another fidelity from {words(source.config.fidelities[shared])} on"


def _line(source: Source, config: StudyConfig, rest: Collection[int], why: Sequence[str]) -> str:
    """Return how much of a source was taken over, how many of the rest tell something, and why not more."""
    taken, told = len(source.own) - len(rest), sum(_measured(source.own[each][0]).is_complete for each in rest)
    parts = [f"{taken} taken over" if source.own else "nothing has been measured there yet"]
    if told:
        from nas.search.samplers.named import INFORMED  # here: see `nas.search.proposer`

        reads = config.sampler in INFORMED
        parts.append(f"{told} only inform" if reads else f"{told} tell sampler {config.sampler} nothing")
    reasons = f" ({'; '.join(why)})" if why else ""
    return f"warm start from {source.config.name}: {', '.join(parts)}{reasons}"
