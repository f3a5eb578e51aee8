"""What does one step of training show of a network's 1x1 maps, at the price of a few sums over sampled positions?

`capture` looks at a network in eval mode, once and thoroughly; this looks at one that trains, on its device, in the
passes that it makes anyway, and across the ranks that train it together.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from nas.interference import discovery
from nas.interference.running import Args, Kwargs, only_argument

POSITIONS = 1024
"""Positions of a batch, over all ranks; at least one of each image."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train one network together; this one alone where there is no group."""

    group: dist.ProcessGroup | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return 1 if self.group is None else dist.get_world_size(self.group)

    @property
    def own(self) -> int:
        """Which of them this process is."""
        return 0 if self.group is None else dist.get_rank(self.group)

    def add_up(self, parts: list[Tensor]) -> None:
        """Replace each tensor, all of one type, by its sum over the ranks, in one message."""
        if self.group is None:
            return
        flat = torch.cat([part.flatten() for part in parts])
        dist.all_reduce(flat, group=self.group)
        for part, total in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
            part.copy_(total.view_as(part))


@dataclass
class Positions:
    """Draws positions anew at each look, those of an image the same however the ranks share a batch.

    Ranks need one seed and batches of one size.
    """

    seed: int
    ranks: Ranks = field(default_factory=Ranks)
    _order: dict[int, Tensor] = field(default_factory=dict)
    _generator: torch.Generator | None = None

    def draw(self, leading: torch.Size, device: torch.device) -> tuple[Tensor, ...]:
        """Return an index of rows of a tensor (images, ..., C) with these leading dimensions: as many of each image.

        One random set, shifted at random for each image, as `PositionSampler` has it.
        """
        images, available = leading[0], prod(leading[1:])
        if self._generator is None:
            self._generator = torch.Generator(device).manual_seed(self.seed)
        if available not in self._order:
            order = torch.randperm(available, generator=torch.Generator().manual_seed(self.seed))
            self._order[available] = order.to(device)
        everyone = images * self.ranks.count
        chosen = self._order[available][: max(1, POSITIONS // everyone)]
        shifts = torch.randint(available, (everyone, 1), generator=self._generator, device=device)
        own = shifts[self.ranks.own * images :][:images]
        first = torch.arange(images, device=device).unsqueeze(1) * available
        return torch.unravel_index((first + (chosen + own) % available).flatten(), leading)

    def state(self) -> Tensor | None:
        """Return the state of what draws; None before the first draw."""
        return None if self._generator is None else self._generator.get_state()

    def load(self, state: Tensor, device: torch.device) -> None:
        """Go on drawing on `device` as where `state` was taken."""
        self._generator = torch.Generator(device)
        self._generator.set_state(state)


@dataclass(eq=False)
class Seen:
    """A map in one step: sums over its positions, float64, and the batch-norm right behind it, if there is one.

    With a_i the features' activity, inputs of the map or, where it expands, its raw outputs: `total` is sum a_i, (n,);
    `squares` sum a_i^2, (n,), or sum a_i a_j, (n, n); `use` is sum abs(a_i dL/da_i), (n,), and None where no gradient
    arrives. `norm_variance` (out,) is the norm's variance: its running one, or the batch's if it keeps none.
    """

    module: nn.Conv2d | nn.Linear
    result: weakref.ref[Tensor]
    version: int
    count: int
    total: Tensor
    squares: Tensor
    use: Tensor | None = None
    norm: Any = None
    norm_variance: Tensor | None = None

    def sums(self) -> Iterator[Tensor]:
        """Yield the tensors that ranks add up."""
        yield from (self.total, self.squares)
        yield from (part for part in (self.use, self.norm_variance) if part is not None)


@dataclass(eq=False)
class Look:
    """The hooks of one step and what they have seen; of a map that runs several times, the first."""

    positions: Positions
    full: bool
    seen: dict[str, Seen] = field(default_factory=dict)
    _by_result: dict[int, Seen] = field(default_factory=dict)
    _index: dict[torch.Size, tuple[Tensor, ...]] = field(default_factory=dict)

    def attach(self, network: nn.Module, maps: dict[str, nn.Conv2d | nn.Linear]) -> Iterator[RemovableHandle]:
        """Register the hooks one by one and yield their handles."""
        for name, module in maps.items():
            yield module.register_forward_hook(self._map_hook(name), with_kwargs=True)
        for norm in discovery.norms(network):
            yield norm.register_forward_pre_hook(self._norm_hook, with_kwargs=True)

    def finish(self, ranks: Ranks) -> dict[str, Seen]:
        """Return what was seen, by name, summed over the ranks; norms have their statistics of after the step."""
        for each in self.seen.values():
            if each.norm is not None and each.norm.running_var is not None:
                each.norm_variance = each.norm.running_var.to(torch.float64, copy=True)
        ranks.add_up([part for each in self.seen.values() for part in each.sums()])
        for each in self.seen.values():
            each.count *= ranks.count
            each.norm_variance = None if each.norm_variance is None else each.norm_variance / ranks.count
        return self.seen

    def _map_hook(self, name: str) -> Callable[[Any, Args, Kwargs, Tensor], None]:
        def hook(module: nn.Conv2d | nn.Linear, args: Args, kwargs: Kwargs, result: Tensor) -> None:
            activity = result if expands(module) else only_argument(args, kwargs)
            values = _rows_of(module, activity.detach())
            if name in self.seen or not _is_map(values, max(module.weight.shape[:2])):
                return
            index = self._index_of(values)
            rows = values[index].double()
            squares = rows.T @ rows if self.full else rows.square().sum(0)
            seen = Seen(module, weakref.ref(result), result._version, len(rows), rows.sum(0), squares)
            self.seen[name] = self._by_result[id(result)] = seen
            if activity.requires_grad:
                activity.register_hook(_use_hook(seen, rows, index))

        return hook

    def _index_of(self, values: Tensor) -> tuple[Tensor, ...]:
        """Return which rows of a map to take; maps of one size give the same positions."""
        leading = values.shape[:-1]
        if leading not in self._index:
            self._index[leading] = self.positions.draw(leading, values.device)
        return self._index[leading]

    def _norm_hook(self, norm: Any, args: Args, kwargs: Kwargs) -> None:
        """Note `norm` as that of the map whose untouched result it is given, if there is one."""
        given = only_argument(args, kwargs)
        seen = self._by_result.pop(id(given), None)
        # An id may be reused after its tensor died, and an activation may have worked in place.
        if seen is None or seen.result() is not given or given._version != seen.version:
            return
        seen.norm = norm
        if norm.running_var is None:
            seen.norm_variance = given.detach().double().movedim(1, -1).flatten(0, -2).var(0, correction=0)


def expands(module: nn.Conv2d | nn.Linear) -> bool:
    """Say whether the features are the map's outputs, as `statistics` has it."""
    return module.weight.shape[0] > module.weight.shape[1]


def _is_map(values: Tensor, features: int) -> bool:
    """Say whether `values` are (B, ..., features): what a classifier or a gate is given has one position an image."""
    return values.shape[-1] == features and prod(values.shape[1:-1]) > 1


def _use_hook(seen: Seen, rows: Tensor, index: tuple[Tensor, ...]) -> Callable[[Tensor], None]:
    def hook(gradient: Tensor) -> None:
        seen.use = (rows * _rows_of(seen.module, gradient)[index]).abs().sum(0)

    return hook


def _rows_of(module: nn.Conv2d | nn.Linear, values: Tensor) -> Tensor:
    """Return a map's features as (B, ..., n), of inputs only the positions that it reads (a 1x1 may be strided)."""
    if isinstance(module, nn.Linear):
        return values
    rows, columns = (1, 1) if expands(module) else module.stride
    return values.movedim(1, -1)[:, ::rows, ::columns]
