"""How much memory a training takes, before it starts; and what it looks like when there is none left."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.architecture import Architecture, Task
from nas.network.build import build
from nas.records import Plan, Recipe
from nas.training.step import forward, place

_MEMORY = re.compile(r"can't allocate memory|ALLOC_FAILED|could not (create|execute) a primitive$")
"""What torch and oneDNN on a CPU, and the libraries on a GPU, say when there is none; no error has a class of its own.

oneDNN names no reason. A shape that it has no kernel for is refused earlier, with "... a primitive descriptor".
"""

PROBED = 2
"""Images of the smaller of two batches that are run; the other has twice as many."""


def training_bytes(architecture: Architecture, task: Task, recipe: Recipe, plan: Plan) -> int:
    """Return the bytes that training `architecture` holds at its fullest, between forward and backward pass.

    Weights, gradients, optimizer state, averaged weights, the images, and what the forward pass keeps for the backward
    pass. The latter is seen, not modelled: two small batches are run here on the CPU, in the plan's precision and
    layout, and the difference is what an image adds. What libraries work with and the allocator wastes comes on top.
    """
    here = plan.model_copy(update={"device": "cpu"})
    network = place(build(architecture, task), here).train()
    smaller, larger = (saved_bytes(network, task, images, here) for images in (PROBED, 2 * PROBED))
    of_an_image = (larger - smaller) / PROBED
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    moments = 2 if recipe.optimizer == "adamw" else int(recipe.momentum > 0)
    copies = 2 + moments + (recipe.ema_decay > 0)
    constant = smaller - of_an_image * PROBED
    image = task.in_channels * task.resolution**2 * torch.finfo(torch.float32).bits // 8
    return round(copies * weights + constant + recipe.batch_size * (of_an_image + image))


def saved_bytes(network: nn.Module, task: Task, images: int, plan: Plan) -> int:
    """Return the bytes that a forward pass keeps for the backward pass of so many images, weights left out.

    The network is one that is placed as the plan says.
    """
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    saved = _Saved()
    batch = torch.zeros(images, task.in_channels, task.resolution, task.resolution, device=plan.device)
    with torch.autograd.graph.saved_tensors_hooks(saved.keep, lambda _: saved.held[0]):
        logits = forward(network, batch, plan)
        F.cross_entropy(logits.float(), batch.new_zeros(images, dtype=torch.int64))
    return sum(size for where, size in saved.sizes.items() if where not in weights)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Say whether `error`, or one that it was raised in the handling of, means that memory has run out."""
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or _MEMORY.search(str(error)):
            return True
        error = error.__context__
    return False


@dataclass(eq=False)
class _Saved:
    """The storages that a graph keeps, each once, held alive so that no two have one address."""

    sizes: dict[int, int] = field(default_factory=dict)
    held: list[Tensor] = field(default_factory=list)

    def keep(self, tensor: Tensor) -> None:
        """Note a tensor; nothing goes backward through this graph, so it need not have it back."""
        storage = tensor.untyped_storage()
        self.sizes[storage.data_ptr()] = storage.nbytes()
        self.held.append(tensor.detach())
