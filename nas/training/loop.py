"""The training loop: seeded, on uint8 images in memory, the learning rate annealed to zero at the end of every call."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nas.data.augment import Augmentation, normalise
from nas.data.batches import batch_count, batches, evaluation_batches
from nas.data.images import Dataset, Images, resize
from nas.data.split import subset
from nas.interference.suppression import SuppressionReport, Suppressor
from nas.network.build import set_drop_path
from nas.records import Epoch, Fidelity, Plan, Recipe
from nas.value import derive_seed

EVALUATION_BATCH = 512
SUBSET_SEED = 0
"""All trainings at a fidelity see the same part of the train split."""
STEPS_BETWEEN_CHECKS = 50
"""How often the loss is read back to see whether it is still finite; reading it waits for a GPU."""


@dataclass(frozen=True)
class Progress:
    """Where a training stands: `epoch` of `epochs` done, images per second so far."""

    epoch: int
    epochs: int
    last: Epoch
    images_per_second: float


@dataclass(frozen=True)
class Training:
    """What a training gave: the network with its final (or averaged) weights, and its epochs.

    `suppression` is None where the recipe asks for none, the network has no map to act on, or the training diverged.
    """

    network: nn.Module
    epochs: tuple[Epoch, ...]
    diverged: bool
    seconds: float
    images_per_second: float
    suppression: SuppressionReport | None = None


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
) -> Training:
    """Train `network` on the train split of `data`; evaluate it on the validation split at the end.

    `evaluate_every` also evaluates after every so many epochs; a short proxy has no time for that.

    Training ends early, with `diverged` set, when the loss is no longer finite. The result depends on the arguments
    alone (on a CPU, to the bit).
    """
    started = time.perf_counter()
    epochs: list[Epoch] = []
    with _execution(plan, seed):
        run = _Run(network, data, recipe, fidelity, plan, seed)
        for i in range(1, fidelity.epochs + 1):
            is_due = i == fidelity.epochs or (evaluate_every is not None and i % evaluate_every == 0)
            epoch = run.epoch(with_validation=is_due)
            if epoch is None:
                return run.result(epochs, started, diverged=True)
            epochs.append(epoch)
            on_epoch(Progress(i, fidelity.epochs, epoch, run.images_per_second))
    return run.result(epochs, started, diverged=False)


@dataclass(frozen=True)
class Normaliser:
    """What turns uint8 pixels into the numbers a network is given: per channel, in 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return float32 images of the same shape (B, C, H, W)."""
        return normalise(pixels, self.mean, self.std)


def evaluate(network: nn.Module, images: Images, normaliser: Normaliser, plan: Plan) -> tuple[float, float]:
    """Return (mean cross-entropy, accuracy in 0..1) of `network` on `images`, in eval mode."""
    loss = torch.zeros((), device=plan.device)
    correct = torch.zeros((), device=plan.device)
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        for batch in evaluation_batches(images, EVALUATION_BATCH, plan.device):
            logits = forward(network, normaliser(batch.pixels), plan).float()
            loss += F.cross_entropy(logits, batch.labels, reduction="sum")
            correct += (logits.argmax(dim=1) == batch.labels).sum()
    network.train(was_training)
    return loss.item() / len(images), correct.item() / len(images)


def forward(network: nn.Module, batch: Tensor, plan: Plan) -> Tensor:
    """Return the logits (B, classes) of a normalised batch (B, C, H, W), in the precision and layout of the plan."""
    if plan.channels_last:
        batch = batch.contiguous(memory_format=torch.channels_last)
    with torch.autocast(plan.device.split(":")[0], torch.bfloat16, enabled=plan.precision == "bfloat16"):
        logits: Tensor = network(batch)
    return logits


def place(network: nn.Module, plan: Plan) -> nn.Module:
    """Return the network on the device and in the memory layout of the plan."""
    layout = torch.channels_last if plan.channels_last else torch.contiguous_format
    return network.to(device=plan.device, memory_format=layout)  # type: ignore[call-overload, no-any-return]


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer; weight decay acts on matrices and kernels, not on norms and biases.

    The learning rate is the recipe's at batch 128, scaled linearly for SGD (Goyal et al. 2017, section 2.1) and by the
    square root for AdamW (Malladi et al. 2022).
    """
    weights = [p for p in network.parameters() if p.ndim >= 2]
    others = [p for p in network.parameters() if p.ndim < 2]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    scale = recipe.batch_size / 128
    if recipe.optimizer == "sgd":
        rate = recipe.learning_rate * scale
        return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate * scale**0.5, fused=True)


def learning_rate_factor(step: int, steps: int, warmup_fraction: float) -> float:
    """Return the share of the peak rate at `step` of `steps`: a linear rise, then a straight line to zero."""
    warmup = max(1, round(steps * warmup_fraction))
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))


@contextmanager
def _execution(plan: Plan, seed: int) -> Iterator[None]:
    """Run with the plan's threads and a forked, seeded generator, and put both back afterwards."""
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


class _Run:
    """The state of one training."""

    def __init__(
        self, network: nn.Module, data: Dataset, recipe: Recipe, fidelity: Fidelity, plan: Plan, seed: int
    ) -> None:
        self.recipe, self.plan = recipe, plan
        self.images = resize(subset(data.train, fidelity.train_fraction, seed=SUBSET_SEED), fidelity.resolution)
        self.validation = resize(data.validation, fidelity.resolution)
        self.normaliser = Normaliser(data.mean, data.std)
        shrink = fidelity.resolution / data.resolution
        self.augment = Augmentation(
            crop_padding=round(recipe.crop_padding * shrink), mirror=recipe.mirror, cutout=round(recipe.cutout * shrink)
        )
        self.generator = torch.Generator(device=plan.device).manual_seed(derive_seed(seed, "data"))
        set_drop_path(network, recipe.drop_path)
        self.network = place(network, plan).train()
        self.optimizer = make_optimizer(network, recipe)
        steps = fidelity.epochs * batch_count(len(self.images), recipe.batch_size)
        self.schedule = LambdaLR(self.optimizer, lambda step: learning_rate_factor(step, steps, recipe.warmup_fraction))
        average = get_ema_multi_avg_fn(recipe.ema_decay)
        self.averaged = AveragedModel(network, multi_avg_fn=average, use_buffers=True) if recipe.ema_decay else None
        self.suppressor = _suppressor(self.network, recipe, steps, seed)
        self.seen = 0
        self.training_seconds = 0.0

    @property
    def images_per_second(self) -> float:
        """Training images per second of training time, evaluation left out."""
        return self.seen / self.training_seconds if self.training_seconds else 0.0

    @property
    def evaluated(self) -> nn.Module:
        """The network whose accuracy counts: the averaged one where an average is kept."""
        return self.averaged.module if self.averaged is not None else self.network

    def epoch(self, *, with_validation: bool) -> Epoch | None:
        """Train for one epoch and evaluate if asked; None when a loss is no longer finite."""
        started = time.perf_counter()
        total = torch.zeros((), device=self.plan.device)
        steps = 0
        for batch in batches(self.images, self.recipe.batch_size, self.generator, self.plan.device):
            total += self.step(batch)
            self.seen += len(batch)
            steps += 1
            if steps % STEPS_BETWEEN_CHECKS == 0 and not math.isfinite(total.item()):
                return None
        train_loss = total.item() / steps
        self.training_seconds += time.perf_counter() - started
        if not math.isfinite(train_loss):
            return None
        if not with_validation:
            return Epoch(train_loss=train_loss, seconds=time.perf_counter() - started)
        val_loss, val_accuracy = evaluate(self.evaluated, self.validation, self.normaliser, self.plan)
        if not math.isfinite(val_loss):
            return None
        seconds = time.perf_counter() - started
        return Epoch(train_loss=train_loss, seconds=seconds, val_loss=val_loss, val_accuracy=val_accuracy)

    def step(self, batch: Images) -> Tensor:
        """Make one step on a batch of uint8 images; return its loss, detached."""
        inputs = self.normaliser(self.augment(batch.pixels, self.generator))
        with nullcontext() if self.suppressor is None else self.suppressor.watching():
            logits = forward(self.network, inputs, self.plan)
            loss = F.cross_entropy(logits.float(), batch.labels, label_smoothing=self.recipe.label_smoothing)
            loss.backward()
        if self.suppressor is not None:
            self.suppressor.step()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)
        return loss.detach()

    def result(self, epochs: list[Epoch], started: float, *, diverged: bool) -> Training:
        """Return what the training gave."""
        seconds = time.perf_counter() - started
        report = None if diverged or self.suppressor is None else self.suppressor.report()
        return Training(self.evaluated, tuple(epochs), diverged, seconds, self.images_per_second, report)


def _suppressor(network: nn.Module, recipe: Recipe, steps: int, seed: int) -> Suppressor | None:
    if recipe.suppression is None:
        return None
    return Suppressor(network, recipe.suppression, steps=steps, seed=derive_seed(seed, "suppression"))
