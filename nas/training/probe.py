"""How much accuracy does a network lose when its activations become SoLU?

SoLU (Elhage et al. 2022, Softmax Linear Units) grows faster than linearly where one channel stands out and shrinks
where several are active at once, so it costs a network that lays several features over the same channels more than one
that does not. Probing blocks with it is the method of arXiv 2507.15798; the recipe, the interval and the rule for what
is replaced are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import fmean, stdev

from scipy import stats

from nas.architecture import Architecture, Task
from nas.blocks import Block
from nas.budget import cost
from nas.data.images import Dataset
from nas.errors import InputError
from nas.network.build import build
from nas.records import Fidelity, Plan, Recipe
from nas.training.loop import Progress, train

SOLU = "solu"
CONFIDENCE = 0.95
LEARNED = 0.95
"""Share of log(classes), the training loss of guessing, that a training must get below to have learned something."""


@dataclass(frozen=True)
class Trained:
    """One training of the network (`is_twin` False) or of its twin, after an epoch or at its end.

    `val_accuracy` is in 0..1, None until the end, and None there when the training diverged.
    """

    seed: int
    is_twin: bool
    progress: Progress | None
    val_accuracy: float | None


@dataclass(frozen=True)
class SoluDrop:
    """Validation accuracies, in 0..1, and last training losses of a network and of its SoLU twin, one for every seed.

    None stands for a training that diverged; its seed counts in no drop. `params` are on the task trained for, which
    has `num_classes`.
    """

    twin: Architecture
    params: int
    twin_params: int
    seeds: tuple[int, ...]
    accuracies: tuple[float | None, ...]
    twin_accuracies: tuple[float | None, ...]
    losses: tuple[float | None, ...]
    twin_losses: tuple[float | None, ...]
    num_classes: int

    @property
    def norm_params(self) -> int:
        """Parameters that the twin has more: those of the LayerNorm that belongs to each SoLU."""
        return self.twin_params - self.params

    @property
    def drops(self) -> tuple[float | None, ...]:
        """Accuracy lost under SoLU, seed by seed; negative where the twin is better."""
        pairs = zip(self.accuracies, self.twin_accuracies, strict=True)
        return tuple(None if own is None or twin is None else own - twin for own, twin in pairs)

    @property
    def mean(self) -> float | None:
        """Mean drop; None where no seed has one."""
        measured = self._measured
        return fmean(measured) if measured else None

    @property
    def std(self) -> float | None:
        """Standard deviation of the drop over seeds; None below two."""
        measured = self._measured
        return stdev(measured) if len(measured) >= 2 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean drop over seeds, by Student's t; None below two seeds."""
        mean, std, count = self.mean, self.std, len(self._measured)
        if mean is None or std is None:
            return None
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * std / sqrt(count)
        return mean - half, mean + half

    @property
    def guessing(self) -> tuple[int, ...]:
        """The seeds of which a training ended and had learned nothing.

        Their drop says that SoLU (or the recipe) keeps the network from being trained, not how far features share
        channels: deep stacks without skips do that under SoLU.
        """
        most = LEARNED * log(self.num_classes)
        pairs = zip(self.seeds, self.losses, self.twin_losses, strict=True)
        return tuple(seed for seed, *losses in pairs if any(loss is not None and loss > most for loss in losses))

    @property
    def _measured(self) -> list[float]:
        return [drop for drop in self.drops if drop is not None]


def solu_twin(architecture: Architecture) -> Architecture:
    """Return `architecture` with SoLU for every activation of its stem, its blocks and its head.

    What has no activation, or the identity, stays as it is: the twin is not to have more nonlinearities. InputError
    where that leaves nothing to replace.
    """
    stages = tuple(
        stage.model_copy(update={"blocks": tuple(map(_block_twin, stage.blocks))}) for stage in architecture.stages
    )
    stem, head = architecture.stem, architecture.head
    twin = Architecture(
        stem=stem.model_copy(update={"activation": _twin(stem.activation)}),
        stages=stages,
        head=head.model_copy(
            update={"activation": _twin(head.activation), "map_activation": _twin(head.map_activation)}
        ),
    )
    if twin == architecture:
        raise InputError("architecture: it has no activation but solu, so it is its own SoLU twin")
    return twin


def solu_drop(
    architecture: Architecture,
    data: Dataset,
    recipe: Recipe,
    fidelity: Fidelity,
    *,
    plan: Plan,
    seeds: Sequence[int],
    on_progress: Callable[[Trained], None] = lambda _: None,
) -> SoluDrop:
    """Train `architecture` and its SoLU twin on `data` from each of the `seeds`; return the accuracies of both.

    A seed gives both the same weights to start with (SoLU draws none) and the same order of images. InputError for no
    seed, for one that is given twice, and for an architecture with no activation but SoLU, or that this resolution
    cannot be built for.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"seeds: name at least one, each once, got {', '.join(map(str, seeds)) or 'none'}")
    twin = solu_twin(architecture)
    task = Task(num_classes=data.num_classes, in_channels=data.in_channels, resolution=fidelity.resolution)
    params, twin_params = cost(architecture, task).params, cost(twin, task).params

    def ending(which: Architecture, seed: int) -> tuple[float | None, float | None]:
        def tell(progress: Progress) -> None:
            on_progress(Trained(seed, which is twin, progress, None))

        training = train(build(which, task, seed=seed), data, recipe, fidelity, plan, seed=seed, on_epoch=tell)
        last = None if training.diverged else training.epochs[-1]
        found = (last.val_accuracy, last.train_loss) if last else (None, None)
        on_progress(Trained(seed, which is twin, None, found[0]))
        return found

    pairs = [(ending(architecture, seed), ending(twin, seed)) for seed in seeds]
    return SoluDrop(
        twin=twin,
        params=params,
        twin_params=twin_params,
        seeds=tuple(seeds),
        accuracies=tuple(accuracy for (accuracy, _), _ in pairs),
        twin_accuracies=tuple(accuracy for _, (accuracy, _) in pairs),
        losses=tuple(loss for (_, loss), _ in pairs),
        twin_losses=tuple(loss for _, (_, loss) in pairs),
        num_classes=task.num_classes,
    )


def _block_twin(block: Block) -> Block:
    return block.model_copy(update={"activation": _twin(block.activation)})


def _twin(activation: str) -> str:
    return activation if activation == "identity" else SOLU
