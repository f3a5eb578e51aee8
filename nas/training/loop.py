"""The training loop: seeded, on uint8 images in memory, the learning rate annealed to zero at the end of every call."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.data.augment import Normaliser
from nas.data.batches import evaluation_batches
from nas.data.images import Dataset, Images
from nas.interference.suppression import SuppressionReport
from nas.records import Epoch, Fidelity, Plan, Recipe
from nas.training.feed import Feed
from nas.training.graph import GraphedStep, own_stream
from nas.training.ranks import ALONE, Ranks
from nas.training.step import ForeignStateError, State, Step, Stepper, forward
from nas.value import derive_seed

EVALUATION_BATCH = 128
EVALUATION_BATCH_GPU = 2048
"""Only large batches fill a GPU; on a CPU those leave the cache: 512 images at once take 1.2 to 1.8 times as long."""
STEPS_BETWEEN_CHECKS = 50
"""How often the loss is read back to see whether it is still finite; reading it waits for a GPU."""
TIME_CONSTANTS = 4
"""The moving average of the training loss forgets over this part of the steps: a quarter."""

_RANDOM, _SECONDS, _BEGUN = "random.", "seconds", "epoch"

Ending = Literal["diverged", "time"]


@dataclass(frozen=True)
class Progress:
    """Where a training stands: `epoch` of `epochs` done, images per second so far, and the share of time that the
    steps had to wait for images."""

    epoch: int
    epochs: int
    last: Epoch
    images_per_second: float
    waited: float = 0.0


class Answers(Protocol):
    """What a teacher says: logits (B, classes) of normalised images (B, C, H, W), as the network is given them.

    `indices`, int64 (B,), are where the images stand in train; with them and the `epoch`, counted from 0 in the stage,
    answers to fixed views can be looked up.
    """

    def __call__(self, inputs: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """Return the logits."""


@dataclass(frozen=True)
class Stage:
    """Where a training stands among the stages of a longer one, and what it must keep to.

    It goes on from the `state` that `epochs_before` have come to. Learning rate, averaged weights and suppression start
    anew in each stage, and what a stage draws is its own. With epochs `done`, the state is that behind the last of
    them, or behind `steps_within` more steps, and the stage goes on in its midst as if it had not stopped. `keep` hears
    of every epoch, and of how to have the state behind it. From the epoch `halved_from` on, counted from the first
    stage, batches are run in halves.

    `keep_step` hears of what may be kept within an epoch: how many of its steps are done, and how to have the state.
    `on_evaluated` hears of the network whose accuracy counts, behind every epoch that was evaluated, counted from 1 and
    the first stage; `on_steps` now and then of how many of an epoch's steps are done. `ranks` are the
    processes that train together; all of them must be called alike.
    """

    epochs_before: int = 0
    state: State | None = field(default=None, repr=False)
    done: tuple[Epoch, ...] = ()
    steps_within: int = 0
    halved_from: int | None = None
    time_limit_s: float = math.inf
    tell: Callable[[str], None] = lambda _: None
    keep: Callable[[tuple[Epoch, ...], Callable[[], State]], None] = lambda *_: None
    keep_step: Callable[[int, Callable[[], State]], None] | None = None
    on_evaluated: Callable[[nn.Module, Epoch, int], None] = lambda *_: None
    on_steps: Callable[[int, int], None] = lambda *_: None
    teacher: Answers | None = None
    ranks: Ranks = ALONE


@dataclass(frozen=True)
class Training:
    """What a training gave: the network with its final (or averaged) weights, and its epochs, those `done` before too.

    `ended` says why there is no more, None for a training that came to its end; `diverged_at` is the step, from 1 on,
    whose loss was not finite. `train_loss_ema` is then the moving
    average of its steps' losses, and `state` what it can be resumed from, or a next stage begun. `suppression` is None
    where the recipe asks for none, the network has no map to act on, or it ended before.
    """

    network: nn.Module
    epochs: tuple[Epoch, ...]
    ended: Ending | None
    seconds: float
    images_per_second: float
    train_loss_ema: float | None = None
    state: State = field(default_factory=dict, repr=False)
    suppression: SuppressionReport | None = None
    diverged_at: int | None = None

    @property
    def diverged(self) -> bool:
        """Whether a loss was no longer finite."""
        return self.ended == "diverged"


def train(
    network: nn.Module,
    data: Dataset,
    recipe: Recipe,
    fidelity: Fidelity,
    plan: Plan,
    *,
    seed: int,
    evaluate_every: int | None = None,
    on_epoch: Callable[[Progress], None] = lambda _: None,
    stage: Stage | None = None,
) -> Training:
    """Train `network` on the train split of `data`; evaluate it on the validation split at the end.

    `evaluate_every` also evaluates after every so many epochs; a short proxy has no time for that.

    Training ends early, with `ended` set, when the loss is no longer finite or a time limit is reached. The result
    depends on the arguments alone (on a CPU, to the bit). A training in stages calls this once for each.
    ForeignStateError for a state of another training.
    """
    started, stage = time.perf_counter(), stage or Stage()
    epochs = list(stage.done)
    with own_stream(plan.device), _execution(plan, seed):
        run = _Run(network, data, recipe, fidelity, plan, seed, stage)
        try:
            for i in range(len(epochs) + 1, fidelity.epochs + 1):
                is_due = i == fidelity.epochs or (evaluate_every is not None and i % evaluate_every == 0)
                epochs.append(run.epoch(with_validation=is_due))
                if is_due:
                    stage.on_evaluated(run.step.evaluated, epochs[-1], stage.epochs_before + i)
                stage.keep(tuple(epochs), run.state)
                done, whole = (stage.epochs_before + epochs for epochs in (i, fidelity.epochs))
                on_epoch(Progress(done, whole, epochs[-1], run.images_per_second, run.waited))
        except _EndedError as end:
            return run.result(epochs, started, end.why)
    return run.result(epochs, started, None)


def evaluate(network: nn.Module, images: Images, normaliser: Normaliser, plan: Plan) -> tuple[float, float]:
    """Return (mean cross-entropy, accuracy in 0..1) of `network` on `images`, in eval mode."""
    loss = torch.zeros((), device=plan.device)
    correct = torch.zeros((), device=plan.device)
    size = EVALUATION_BATCH if plan.device == "cpu" else EVALUATION_BATCH_GPU
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        for batch in evaluation_batches(images, size, plan.device):
            logits = forward(network, normaliser(batch.pixels), plan).float()
            loss += F.cross_entropy(logits, batch.labels, reduction="sum")
            correct += (logits.argmax(dim=1) == batch.labels).sum()
    network.train(was_training)
    return loss.item() / len(images), correct.item() / len(images)


def moving_average(losses: Tensor) -> float:
    """Return the mean of a training's step losses (steps,), each weighed by exp(-age / (a quarter of the steps)).

    This is an exponential moving average at its end, its bias from starting at nothing corrected: TSE-EMA of Ru et al.
    2021 (arXiv 2006.04492), which needs no validation and ranks short trainings better than their last loss.
    """
    age = torch.arange(len(losses) - 1, -1, -1, dtype=torch.float64)
    weights = (-age * TIME_CONSTANTS / len(losses)).exp()
    return (weights @ losses.detach().double().cpu() / weights.sum()).item()


@contextmanager
def _execution(plan: Plan, seed: int) -> Iterator[None]:
    """Run with the plan's threads and a forked, seeded generator, and put both back afterwards.

    Both are the process's, so a training beside others, in a thread of its own, leaves them alone. Our networks draw
    from generators that they are given; only another's dropout would miss the seed.
    """
    if not _is_alone():
        yield
        return
    threads = torch.get_num_threads()
    devices = [torch.device(plan.device)] if plan.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(derive_seed(seed, "layers"))  # torch.manual_seed reseeds every GPU as well
        for device in devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(derive_seed(seed, "layers"))
        torch.set_num_threads(plan.threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _is_alone() -> bool:
    """Say whether what belongs to the process belongs to this training."""
    return threading.current_thread() is threading.main_thread()


class _EndedError(Exception):
    """A training that is not to go on."""

    def __init__(self, why: Ending) -> None:
        super().__init__(why)
        self.why = why


class _Run:
    """The state of one training."""

    def __init__(
        self,
        network: nn.Module,
        data: Dataset,
        recipe: Recipe,
        fidelity: Fidelity,
        plan: Plan,
        seed: int,
        stage: Stage,
    ) -> None:
        self.plan, self.stage = plan, stage
        self.deadline = time.perf_counter() + stage.time_limit_s - sum(epoch.seconds for epoch in stage.done)
        own_seed = derive_seed(seed, "stage", stage.epochs_before) if stage.epochs_before else seed
        self.recipe, self.ranks = recipe, stage.ranks
        self.feed = Feed(
            data, recipe, fidelity, plan, seed=own_seed, mirror_seed=seed, tell=stage.tell, ranks=stage.ranks
        )
        self.epochs = stage.epochs_before + len(stage.done)
        steps = fidelity.epochs * self.feed.batches
        images = self.feed.batch_size if self.ranks.world > 1 else None
        self.step = Step(
            network, recipe, plan, steps=steps, seed=own_seed, parts=self.parts, ranks=self.ranks, images=images
        )
        hooked = recipe.suppression is not None  # in some steps
        self.is_graphed = plan.cuda_graphs and plan.device != "cpu" and not hooked and self.ranks.world == 1
        self.steps = self.summed = 0
        self.training_seconds = self.seconds_before = self.fed_seconds = 0.0
        self.side = self.feed.side(len(stage.done))
        if stage.state is not None and not (stage.done or stage.steps_within):
            self.step.begin(stage.state)
        elif stage.state is not None:
            self._resume(stage.state)
        self.make_step = self._stepper()  # what is captured has its state before

    @property
    def images_per_second(self) -> float:
        """Training images per second of training time, evaluation left out."""
        return self.steps * self.feed.batch_size / self.training_seconds if self.training_seconds else 0.0

    @property
    def waited(self) -> float:
        """The share of training time that the steps had to wait for images."""
        own = self.training_seconds - self.seconds_before
        return self.fed_seconds / own if own else 0.0

    @property
    def parts(self) -> int:
        """In how many parts the batches of the next epoch are run."""
        halved = self.stage.halved_from is not None and self.epochs >= self.stage.halved_from
        return self.recipe.accumulation * (2 if halved else 1)

    def state(self) -> State:
        """Return copies of all that the epochs to come depend on: that of the steps, and of what is drawn from."""
        drawn = {_RANDOM + name: generator.get_state() for name, generator in self._generators().items()}
        taken = {_SECONDS: torch.tensor(self.training_seconds, dtype=torch.float64)}
        return self.step.state() | drawn | taken

    def epoch(self, *, with_validation: bool) -> Epoch:
        """Train for one epoch and evaluate if asked; _EndedError when training is not to go on."""
        started, in_stage = time.perf_counter(), self.epochs - self.stage.epochs_before
        first = in_stage * self.feed.batches
        if (self.step.parts, self.side) != (self.parts, self.feed.side(in_stage)):
            self.step.parts, self.side = self.parts, self.feed.side(in_stage)
            self.make_step = self._stepper()
        for batch in self._batches(in_stage):
            self.make_step(*batch)
            self.steps += 1
            if (self.steps - first) % STEPS_BETWEEN_CHECKS == 0:
                self._train_loss(first)
                self.stage.on_steps(self.steps - first, self.feed.batches)
            if time.perf_counter() > self.deadline:
                raise _EndedError("time")
            self._keep_step(first, started)
        train_loss = self._train_loss(first)
        self.epochs += 1
        self.training_seconds += time.perf_counter() - started
        if not with_validation:
            return Epoch(train_loss=train_loss, seconds=time.perf_counter() - started)
        self.ranks.equalise(self.step.evaluated)
        val_loss, val_accuracy = evaluate(self.step.evaluated, self.feed.validation, self.feed.normaliser, self.plan)
        if not math.isfinite(val_loss):
            raise _EndedError("diverged")
        seconds = time.perf_counter() - started
        return Epoch(train_loss=train_loss, seconds=seconds, val_loss=val_loss, val_accuracy=val_accuracy)

    def _batches(self, in_stage: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches of an epoch, each with what a teacher says of it, and add up the time that they take."""
        fed = self.feed.epoch(self.epochs, in_stage=in_stage)
        while True:  # the feed ends it
            asked = time.perf_counter()
            batch = next(fed, None)
            self.fed_seconds += time.perf_counter() - asked
            if batch is None:
                return
            inputs, labels, indices = batch
            yield (inputs, labels, *([self.stage.teacher(inputs, indices, in_stage)] if self.stage.teacher else []))

    def _keep_step(self, first: int, started: float) -> None:
        """Offer the state within an epoch, where nothing is drawn for batches to come.

        Of several processes one keeps it, when all have just added up their losses.
        """
        done = self.steps - first
        between = self.feed.at_once if self.ranks.world == 1 else STEPS_BETWEEN_CHECKS
        if self.stage.keep_step is None or done % between or done == self.feed.batches:
            return

        def state() -> State:
            self._train_loss(first)  # nothing that has diverged is kept
            taken = torch.tensor(self.training_seconds + time.perf_counter() - started, dtype=torch.float64)
            return self.state() | {_SECONDS: taken, _RANDOM + _BEGUN: self.feed.begun.clone()}

        self.stage.keep_step(done, state)

    def result(self, epochs: list[Epoch], started: float, ended: Ending | None) -> Training:
        """Return what the training gave."""
        suppressor = self.step.suppressor if ended is None else None
        return Training(
            network=self.step.evaluated,
            epochs=tuple(epochs),
            ended=ended,
            seconds=time.perf_counter() - started,
            images_per_second=self.images_per_second,
            train_loss_ema=moving_average(self.step.losses) if ended is None else None,
            state=self.state() if ended is None else {},
            suppression=None if suppressor is None else suppressor.report(),
            diverged_at=self._diverged_at() if ended == "diverged" else None,
        )

    def _stepper(self) -> Stepper:
        return GraphedStep(self.step, self.stage.tell) if self.is_graphed else self.step

    def _resume(self, state: State) -> None:
        self.steps = self.step.resume(state)
        self.summed, within = self.steps, self.stage.steps_within
        if self.steps != len(self.stage.done) * self.feed.batches + within or _SECONDS not in state:
            raise ForeignStateError(f"{self.steps} steps are not {len(self.stage.done)} epochs and {within} steps")
        self.training_seconds = self.seconds_before = state[_SECONDS].item()
        for name, generator in self._generators().items():
            if _RANDOM + name in state:  # what was trained in a thread lacks those of the process
                generator.set_state(state[_RANDOM + name])
        if within:
            self.feed.go_on_within(state[_RANDOM + _BEGUN], within)

    def _generators(self) -> dict[str, torch.Generator]:
        """Return what draws, but for the steps' own: the feed's and, where they are this training's, the process's."""
        found = {"feed": self.feed.generator}
        if _is_alone():
            found["process"] = torch.default_generator
            if self.plan.device.startswith("cuda"):
                found["device"] = torch.cuda.default_generators[torch.device(self.plan.device).index or 0]
        return found

    def _train_loss(self, first: int) -> float:
        """Return the mean loss of the steps since `first`; _EndedError when it is not finite."""
        if self.summed < self.steps:  # each process has the shares of its images
            self.ranks.sum(self.step.losses[self.summed : self.steps])
            self.summed = self.steps
        mean = self.step.losses[first : self.steps].mean().item()
        if not math.isfinite(mean):
            raise _EndedError("diverged")
        return mean

    def _diverged_at(self) -> int | None:
        """Return the first step, from 1 on, whose loss is not finite; None where only the validation's was not."""
        wrong = (~self.step.losses[: self.steps].isfinite()).nonzero()
        return int(wrong[0]) + 1 if len(wrong) else None
