"""One step of training: forward, loss, backward, optimizer. Its rates and its losses lie on the device.

Nothing in a step is read back, so that a GPU need not wait and the whole step can be captured in a graph.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nas.errors import InputError
from nas.interference.suppression import Suppressor
from nas.network.blur import set_blur_pool
from nas.network.build import set_drop_path
from nas.records import Plan, Recipe
from nas.training.losses import Criterion, LastMap
from nas.training.optimizers import clip_gradients, learning_rate_factor, make_optimizer
from nas.training.ranks import ALONE, Ranks, synchronise_norms
from nas.value import derive_seed

State = dict[str, Tensor]
"""What a training has come to, by name: contiguous tensors on the CPU, no two of one storage."""


class ForeignStateError(ValueError):
    """A state that is not one of this training, whoever wrote it."""


_NETWORK, _OPTIMIZER, _AVERAGE, _SUPPRESSION, _STEPS = "network.", "optimizer.", "average.", "suppression.", "steps."


class Stepper(Protocol):
    """Makes one optimizer step a call, on normalised images (B, C, H, W) and their labels, (B,) or (B, classes).

    `teacher` are the logits (B, classes) that a teacher gives for the images.
    """

    def __call__(self, inputs: Tensor, labels: Tensor, teacher: Tensor | None = None) -> None:
        """Make the next step."""


class Step:
    """The steps of one training, made one by one.

    `losses` (steps,) holds the loss of every step made. A batch is run in `parts` whose gradients add up: steps and
    effective batch stay what they were, but a batch-norm sees the images of its part alone. Of several processes each
    runs its share of a batch of `images`.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        plan: Plan,
        *,
        steps: int,
        seed: int,
        parts: int = 1,
        ranks: Ranks = ALONE,
        images: int | None = None,
    ) -> None:
        """Put the network where the plan says."""
        if ranks.world > 1 and recipe.suppression is not None:
            raise InputError("suppression: is not for several processes; train with one, or without it")
        self._recipe, self._plan, self.parts = recipe, plan, parts
        self._ranks, self._images, self._seed = ranks, images, seed
        if recipe.blur_pool:
            set_blur_pool(network)
        self.network = place(network, plan).train()
        if ranks.world > 1 and recipe.synchronised_norm:
            synchronise_norms(self.network)
        self.average = Average(network, recipe.ema_decay) if recipe.ema_decay else None
        self._criterion = Criterion(recipe, LastMap(network) if recipe.bias_loss is not None else None)
        self.generator = torch.Generator(plan.device).manual_seed(self._layers_seed(0))
        set_drop_path(network, recipe.drop_path, self.generator)
        self._parallel = ranks.parallel(self.network)
        self.suppressor = (
            Suppressor(network, recipe.suppression, steps=steps, seed=derive_seed(seed, "suppression"))
            if recipe.suppression is not None
            else None
        )
        self._optimizer = make_optimizer(self.network, recipe)
        peak = self._optimizer.param_groups[0]["lr"]
        rates = [
            peak * learning_rate_factor(step, steps, recipe.warmup_fraction, recipe.schedule) for step in range(steps)
        ]
        self.rates = torch.tensor(rates, device=plan.device)
        self.losses = torch.zeros(steps, device=plan.device)
        self._at = torch.zeros(1, dtype=torch.int64, device=plan.device)
        self._rate = torch.zeros(1, device=plan.device)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate

    def __call__(self, inputs: Tensor, labels: Tensor, teacher: Tensor | None = None) -> None:
        """Make the next step."""
        torch.index_select(self.rates, 0, self._at, out=self._rate)
        with nullcontext() if self.suppressor is None else self.suppressor.watching():
            losses = self._backward_parts(inputs, labels, teacher)
        if self.suppressor is not None:
            self.suppressor.step()
        if self._recipe.gradient_clip:
            clip_gradients(self.network, self._recipe.gradient_clip)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self.average is not None:
            self.average.update(self.network)
        self.losses.index_copy_(0, self._at, torch.stack(losses).sum(0, keepdim=True))
        self._at += 1

    @property
    def evaluated(self) -> nn.Module:
        """The network whose accuracy counts: the averaged one where an average is kept."""
        return self.average.network if self.average is not None else self.network

    def state(self) -> State:
        """Return copies of all that the steps to come depend on, and of the losses so far."""
        found = {_NETWORK + name: tensor for name, tensor in self.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            remembered = self._optimizer.remembered(parameter)
            found |= {f"{_OPTIMIZER}{name}:{key}": value for key, value in remembered.items() if value is not None}
        if self.average is not None:
            found |= {_AVERAGE + name: tensor for name, tensor in self.average.network.state_dict().items()}
        if self.suppressor is not None:
            found |= {_SUPPRESSION + name: tensor for name, tensor in self.suppressor.state().items()}
        found |= {_STEPS + "losses": self.losses, _STEPS + "at": self._at}
        found[_STEPS + "generator"] = self.generator.get_state()
        return {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in found.items()
        }

    def begin(self, state: State) -> None:
        """Begin with the weights, and what the optimizer remembers, of a `state`: all else starts anew."""
        with _foreign():
            self.network.load_state_dict(below(state, _NETWORK))
            parameters = dict(self.network.named_parameters())
            for name, value in below(state, _OPTIMIZER).items():
                of, _, key = name.rpartition(":")
                like = parameters[of] if value.ndim else self._rate.squeeze()
                self._optimizer.remembered(parameters[of])[key] = torch.empty_like(like).detach().copy_(value)

    def resume(self, state: State) -> int:
        """Go on from a `state` of the same training, before the first step here; return how many steps it has made."""
        self.begin(state)
        with _foreign():
            if self.average is not None:
                self.average.resume(below(state, _AVERAGE))
            if self.suppressor is not None:
                self.suppressor.load(below(state, _SUPPRESSION))
            if state[_STEPS + "losses"].shape != self.losses.shape:
                raise ValueError(f"of {len(state[_STEPS + 'losses'])} steps, not {len(self.losses)}")
            self.losses.copy_(state[_STEPS + "losses"])
            self._at.copy_(state[_STEPS + "at"])
            steps = int(state[_STEPS + "at"])
            if self._ranks.is_first:
                self.generator.set_state(state[_STEPS + "generator"])
            else:  # the state is the first process's
                self.generator.manual_seed(self._layers_seed(steps))
            return steps

    def _layers_seed(self, steps: int) -> int:
        """Return the seed of what the layers draw from `steps` on, in each process its own."""
        rank = self._ranks.rank
        return derive_seed(self._seed, "layers", rank, steps) if rank else derive_seed(self._seed, "layers")

    def _backward_parts(self, inputs: Tensor, labels: Tensor, teacher: Tensor | None) -> list[Tensor]:
        """Add the gradients of all parts of a batch; return the share of each in the mean loss."""
        images, losses = self._images or len(inputs), []
        answers = [None] * self.parts if teacher is None else teacher.chunk(self.parts)
        parts = list(zip(inputs.chunk(self.parts), labels.chunk(self.parts), answers, strict=True))
        for i, part in enumerate(parts, start=1):
            several = self._parallel if isinstance(self._parallel, DistributedDataParallel) else None
            # what adds up is exchanged once
            with several.no_sync() if several is not None and i < len(parts) else nullcontext():
                losses.append(self._backward(*part, images=images))
        return losses

    def _backward(self, inputs: Tensor, labels: Tensor, teacher: Tensor | None, *, images: int) -> Tensor:
        """Add the gradients of these of the batch's `images`; return their share of the mean loss."""
        logits = forward(self._parallel, inputs, self._plan).float()
        loss = self._criterion(logits, labels, teacher) / images
        (loss * self._ranks.world if self._ranks.world > 1 else loss).backward()  # over processes, the mean is taken
        return loss.detach()


class Average:
    """The moving average of a network's weights and buffers; it starts at what the first step gives."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Copy the network."""
        self.network = copy.deepcopy(network)
        self._decay = decay
        self._is_started = False

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network after a step; counters are copied."""
        pairs = list(zip(_tensors(self.network), _tensors(network), strict=True))
        floating = [pair for pair in pairs if self._is_started and pair[0].is_floating_point()]
        if floating:
            own, new = (list(side) for side in zip(*floating, strict=True))
            torch._foreach_lerp_(own, new, 1 - self._decay)
        for own_tensor, new_tensor in pairs:
            if not (self._is_started and own_tensor.is_floating_point()):
                own_tensor.copy_(new_tensor)
        self._is_started = True

    def resume(self, state: State) -> None:
        """Go on from the average that `state` holds."""
        self.network.load_state_dict(state)
        self._is_started = True


def below(state: State, prefix: str) -> State:
    """Return the tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


@contextmanager
def _foreign() -> Iterator[None]:
    """Raise ForeignStateError for what does not fit: a name that is missing, another shape."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (KeyError, ValueError, RuntimeError) as error:
        raise ForeignStateError(" ".join(str(error).split())) from error


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


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
