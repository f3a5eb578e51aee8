"""Reference networks with the weights of torchvision's and timm's: the same outputs."""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch
from torch import Tensor, nn

from nas.architecture import Task
from nas.network.build import build
from nas.references import reference
from tests.core.oracles import ORACLES, oracle

RESOLUTIONS = {"mobilevit_xxs": 160}
"""128 unless named: no stride is dropped; at 160 the last map of MobileViT is odd and so stretched."""

ROLES = {"gamma": "factors", "gamma_xca": "factors"}


def _randomise(network: nn.Module) -> None:
    """Make every tensor count: statistics, shifts and scales away from 0 and 1, activations of the order of one."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.squeeze().dim() > 1:
            tensor.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
        elif name.endswith(("bias", "mean")):
            tensor.normal_(0, 0.1, generator=generator)
        elif tensor.dim():
            tensor.uniform_(0.5, 1.5, generator=generator)


@torch.no_grad()
def _run(network: nn.Module, images: Tensor) -> tuple[Tensor, dict[tuple[str, tuple[int, ...]], list[Tensor]]]:
    """Return the logits, and all parameters and buffers by role and shape, each list in the order of execution."""
    found = defaultdict(list)

    def note(module: nn.Module, _: object) -> None:
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if tensor.dim():
                found[ROLES.get(name, name), tuple(n for n in tensor.shape if n > 1)].append(tensor)

    hooks = [module.register_forward_pre_hook(note) for module in network.modules()]
    logits = network.eval()(images)
    for hook in hooks:
        hook.remove()
    return logits, found


@pytest.mark.parametrize("name", ORACLES)
def test_a_reference_with_the_weights_of_its_library_gives_the_same_outputs(name: str) -> None:
    theirs, resolution = oracle(name), RESOLUTIONS.get(name, 128)
    ours = build(reference(name).architecture, Task(num_classes=1000, resolution=resolution))
    images = torch.randn(2, 3, resolution, resolution, generator=torch.Generator().manual_seed(1))
    _randomise(theirs)
    expected, their_tensors = _run(theirs, images)
    our_tensors = _run(ours, images)[1]
    assert our_tensors.keys() == their_tensors.keys()
    for key, tensors in our_tensors.items():
        for tensor, source in zip(tensors, their_tensors[key], strict=True):
            tensor.data.copy_(source.data.reshape(tensor.shape))
    assert expected.std() > 0.1
    torch.testing.assert_close(_run(ours, images)[0], expected, rtol=1e-3, atol=1e-3)
