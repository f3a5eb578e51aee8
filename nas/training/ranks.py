"""The processes that train one network together, each on its share of every batch, as `torchrun` starts them.

All draw the same order and the same augmentation, so which images are in a batch and what is done to them does not
depend on how many processes there are.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

from nas.errors import InputError


@dataclass(frozen=True)
class Ranks:
    """Which of the `world` processes this is; alone, nothing is exchanged."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share(self, images: int) -> slice:
        """Return which of so many images are this process's: in order, and as even as they allow."""
        each, more = divmod(images, self.world)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def sum(self, tensor: Tensor) -> Tensor:
        """Make a tensor the sum of everybody's, in place, and return it."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def equalise(self, network: nn.Module) -> None:
        """Give everybody the buffers of the first: running means of batch-norms differ where those are not one."""
        if self.world > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return what runs the network forward so that gradients are the means over all processes."""
        if self.world == 1:
            return network
        with warnings.catch_warnings():  # what takes its place from torch 2.14 on is not in 2.11
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            parallel: nn.Module = DistributedDataParallel(network, broadcast_buffers=False)
        return parallel

    def wait(self) -> None:
        """Wait for the others."""
        if self.world > 1:
            dist.barrier()


ALONE = Ranks()


class SynchronisedNorm(nn.BatchNorm2d):
    """A batch-norm over the batches of all processes, which may differ in size; on any device.

    torch's own works on GPUs alone, and is taken there.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised map (B, C, H, W)."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        count = x.new_full((1,), x.numel() / x.shape[1])
        sums = all_reduce(torch.cat((x.sum((0, 2, 3)), x.square().sum((0, 2, 3)), count)))
        mean, square = (sums[:-1] / sums[-1]).chunk(2)
        variance = (square - mean.square()).clamp(min=0)
        self._note(mean.detach(), variance.detach(), sums[-1].detach())
        scale = self.weight * (variance + self.eps).rsqrt()
        normalised: Tensor = (x - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]
        return normalised.to(input.dtype)

    @torch.no_grad()
    def _note(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum or 0.1)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.1)


def synchronise_norms(network: nn.Module) -> None:
    """Turn the batch-norms of a placed network into those of all processes; weights, buffers and names stay."""
    kind = nn.SyncBatchNorm if next(network.parameters()).is_cuda else SynchronisedNorm
    for parent in list(network.modules()):
        for name, norm in parent.named_children():
            if type(norm) is nn.BatchNorm2d:
                made = kind(norm.num_features, eps=norm.eps, momentum=norm.momentum, device=norm.weight.device)
                made.load_state_dict(norm.state_dict())
                setattr(parent, name, made)


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started, if it did; nccl between GPUs, gloo between CPUs."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or "RANK" not in os.environ:
        yield ALONE
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if on_gpu else "gloo")
    except (RuntimeError, ValueError) as error:
        raise InputError(f"torchrun: the processes cannot join: {str(error).splitlines()[0]}") from error
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
