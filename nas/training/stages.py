"""Training in stages: through the rungs of a ladder, each annealed to its end, on from the last checkpoint there is.

A stage is a `train` of its own, with its own warm-up and annealing. Weights, buffers and what the optimizer remembers
go from one to the next as a copy, which is part of what a checkpoint holds: so going on from one, within a stage or
between two, is the same, to the bit on a CPU, as never having stopped. (With an optimizer that forgets, each stage pays
for another start: on digits in stages of 2, 2 and 4 epochs, 1.3 points of accuracy over 12 seeds.) Averaged weights and
suppression start anew in a stage.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import nn

from nas.architecture import Architecture, Task
from nas.data.images import Dataset
from nas.errors import InputError
from nas.network.build import Network, build
from nas.records import Epoch, Fidelity, Plan, Recipe
from nas.training.checkpoint import Checkpoint, Checkpoints, Reached, TrainingId
from nas.training.graph import free_memory
from nas.training.loop import Answers, Progress, Stage, Training, train
from nas.training.memory import is_out_of_memory
from nas.training.ranks import ALONE, Ranks
from nas.training.step import ForeignStateError, State
from nas.value import canonical_json, digest


@dataclass(frozen=True)
class Staged:
    """What a training in stages gave: the last stage, and the network as it was built for that one.

    `epochs` are all since the first weights, `continued_from` of them those of a training to a lower rung; `seconds`
    counts the rest, and what was done of it before a kill. `halved_from`: as in `Stage`.
    """

    network: Network
    last: Training
    epochs: tuple[Epoch, ...]
    continued_from: int
    seconds: float
    halved_from: int | None


@dataclass(frozen=True)
class StagedTraining:
    """One training to the top of `rungs`; InputError when their epochs do not rise.

    `seconds_allowed` limits each stage, which it is given as a fidelity with the stage's own epochs. Batches are run in
    halves from the epoch `halved_from` on, or, `in_halves`, from where the training is taken up. Within an epoch a
    checkpoint is kept every `save_steps` and every `save_seconds`. The rest is as in `train` and `Stage`.
    """

    architecture: Architecture
    data: Dataset
    recipe: Recipe
    rungs: tuple[Fidelity, ...]
    plan: Plan
    seed: int
    seconds_allowed: Callable[[Fidelity], float] = lambda _: math.inf
    tell: Callable[[str], None] = lambda _: None
    halved_from: int | None = None
    in_halves: bool = False
    evaluate_every: int | None = None
    save_steps: int | None = None
    save_seconds: float = math.inf
    on_evaluated: Callable[[nn.Module, Epoch, int], None] = lambda *_: None
    on_steps: Callable[[int, int], None] = lambda *_: None
    teacher: Answers | None = None
    ranks: Ranks = ALONE

    def __post_init__(self) -> None:
        """Check the rungs."""
        epochs = [rung.epochs for rung in self.rungs]
        if epochs != sorted(set(epochs)):
            raise InputError(f"ladder: epochs must rise from rung to rung, got {', '.join(map(str, epochs))}")

    def run(
        self, checkpoints: Checkpoints, on_epoch: Callable[[Progress], None] = lambda _: None, *, goes_on: bool = False
    ) -> Staged:
        """Train, and keep a checkpoint while there is something to come; `goes_on`: there are more rungs.

        What is kept at last stays until `forget`: a result that was not written down yet may be needed again. A stage
        that runs out of memory is repeated once, from where it was taken up, with each batch in halves (`Step`), and
        so are those behind it; when memory runs out again the error is raised.
        """
        found = self._found(checkpoints)
        self.ranks.wait()  # until all have read it, nobody writes
        try:
            return _Way(self, checkpoints, found, goes_on=goes_on).walk(on_epoch)
        except ForeignStateError as error:
            if found is None:
                raise
            checkpoints.ignore(self.identity, str(error))
        return _Way(self, checkpoints, None, goes_on=goes_on).walk(on_epoch)

    @property
    def identity(self) -> TrainingId:
        """Which training this is, of all whose checkpoints may lie in one folder."""
        plan = self.plan
        here = (plan.device.partition(":")[0], plan.precision, plan.channels_last, plan.threads)
        data = (self.data.fingerprint, self.data.resolution, len(self.data.train))
        conditions = digest(repr((canonical_json(self.recipe), here, data)))
        return TrainingId(arch_id=self.architecture.arch_id, seed=self.seed, conditions=conditions)

    def build(self, fidelity: Fidelity) -> Network:
        """Return the untrained network, for the classes and channels of the data."""
        return build(self.architecture, task_of(self.data, fidelity), seed=self.seed)

    def stages(self) -> Iterator[tuple[int, Fidelity]]:
        """Yield the epochs behind each stage, and the stage as a fidelity with the epochs that it adds."""
        behind = 0
        for rung in self.rungs:
            yield behind, rung.model_copy(update={"epochs": rung.epochs - behind})
            behind = rung.epochs

    def _found(self, checkpoints: Checkpoints) -> Checkpoint | None:
        """Return a checkpoint on the way to the top; None, where there is none."""
        found = checkpoints.load(self.identity)
        if found is None or found.reached.stages != self.rungs[: len(found.reached.stages)]:
            return None
        begun = (0, *(rung.epochs for rung in found.reached.stages))
        reached = len(found.reached.epochs) + (found.reached.within > 0)  # an epoch that is begun counts
        return found if begun[-2] < reached <= begun[-1] else None


class _Way:
    """One run of a training in stages, from its start or from a checkpoint."""

    def __init__(
        self, training: StagedTraining, checkpoints: Checkpoints, found: Checkpoint | None, *, goes_on: bool
    ) -> None:
        """Take up the training where it was `found`."""
        self._of, self._checkpoints, self._goes_on = training, checkpoints, goes_on
        self._top = training.rungs[-1]
        reached = None if found is None else found.reached
        self._state = None if found is None else found.state
        self._epochs, self._within = ((), 0) if reached is None else (reached.epochs, reached.within)
        is_same = reached is not None and reached.towards == self._top
        self._continued_from = reached.continued_from if reached is not None and is_same else len(self._epochs)
        self._before = reached.seconds if reached is not None and is_same else 0.0
        self._started = self._saved = time.perf_counter()
        self._halved_from = (
            training.halved_from if reached is None or reached.halved_from is None else reached.halved_from
        )
        if training.in_halves:
            self._halve(len(self._epochs))

    def walk(self, on_epoch: Callable[[Progress], None]) -> Staged:
        """Train what is left of the stages."""
        for at, stage in self._of.stages():
            end = at + stage.epochs
            if end <= len(self._epochs) and end < self._top.epochs:
                continue
            network, training = self._train(stage, at, on_epoch)
            self._epochs, self._state, self._within = self._epochs[:at] + training.epochs, training.state, 0
            if training.ended is not None:
                break
        return Staged(network, training, self._epochs, self._continued_from, self._seconds, self._halved_from)

    @property
    def _seconds(self) -> float:
        return self._before + time.perf_counter() - self._started

    def _halve(self, epoch: int) -> None:
        self._halved_from = epoch if self._halved_from is None else min(epoch, self._halved_from)

    def _train(self, stage: Fidelity, at: int, on_epoch: Callable[[Progress], None]) -> tuple[Network, Training]:
        """Train one stage, or what is left of it."""
        of, done = self._of, self._epochs[at:]

        def report(progress: Progress) -> None:
            on_epoch(replace(progress, epochs=self._top.epochs))

        def attempt() -> tuple[Network, Training]:
            network = of.build(stage)
            return network, train(
                network,
                of.data,
                of.recipe,
                stage,
                of.plan,
                seed=of.seed,
                evaluate_every=of.evaluate_every,
                on_epoch=report,
                stage=self._place(stage, at),
            )

        try:
            return attempt()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or (self._halved_from is not None and self._halved_from <= at + len(done)):
                raise
        free_memory(of.plan.device)
        self._halve(at + len(done))
        return attempt()

    def _place(self, stage: Fidelity, at: int) -> Stage:
        """Return where a stage stands, `at` epochs behind the first weights."""
        of, done, asks = self._of, self._epochs[at:], self._of.save_steps or self._of.save_seconds < math.inf

        def keep(epochs: tuple[Epoch, ...], state: Callable[[], State]) -> None:
            self._done = self._epochs[:at] + epochs
            self._keep(self._done, state, at + stage.epochs)

        self._done = self._epochs
        return Stage(
            epochs_before=at,
            state=self._state,
            done=done,
            steps_within=self._within,
            halved_from=self._halved_from,
            time_limit_s=of.seconds_allowed(stage),
            tell=of.tell,
            keep=keep,
            keep_step=self._keep_step if asks and self._checkpoints.are_kept else None,
            on_evaluated=of.on_evaluated,
            on_steps=of.on_steps,
            teacher=of.teacher,
            ranks=of.ranks,
        )

    def _keep_step(self, within: int, state: Callable[[], State]) -> None:
        """Save what some steps of an epoch have come to, where enough was done since the last time."""
        of = self._of
        is_due = of.save_steps is not None and within % of.save_steps == 0
        if is_due or time.perf_counter() - self._saved >= of.save_seconds:
            self._save(self._done, state(), within)

    def _keep(self, epochs: tuple[Epoch, ...], state: Callable[[], State], end: int) -> None:
        """Save what an epoch has come to, the last one of a stage in any case, others unless little would be lost."""
        is_last, is_top = len(epochs) == end, end == self._top.epochs
        at_risk = time.perf_counter() - self._saved + (0.0 if is_last else epochs[-1].seconds)
        is_due = at_risk >= self._checkpoints.seconds_at_risk or (is_last and (not is_top or self._goes_on))
        if is_due and self._checkpoints.are_kept:
            self._save(epochs, state())

    def _save(self, epochs: tuple[Epoch, ...], state: State, within: int = 0) -> None:
        """Save a checkpoint; of several processes the first does."""
        self._saved = time.perf_counter()
        if not self._of.ranks.is_first:
            return
        begun = sum(rung.epochs < len(epochs) + (within > 0) for rung in self._of.rungs) + 1
        reached = Reached(
            training=self._of.identity,
            stages=self._of.rungs[:begun],
            epochs=epochs,
            within=within,
            towards=self._top,
            continued_from=self._continued_from,
            seconds=self._seconds,
            halved_from=self._halved_from,
        )
        self._checkpoints.save(Checkpoint(reached, state))


def task_of(data: Dataset, fidelity: Fidelity) -> Task:
    """Return what networks are built for at a fidelity."""
    return Task(num_classes=data.num_classes, in_channels=data.in_channels, resolution=fidelity.resolution)
