"""Reference networks with the weights of torchvision's and timm's: the same outputs.

TinyNeXt, EMO and EMOv2 are in neither library: their attention is computed here a second time, window by window.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.architecture import Task
from nas.attention import SingleHeadAttention, WindowAttention
from nas.network.attention import SingleHeadAttentionModule, WindowAttentionModule
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
    torch.testing.assert_close(_run(ours, images)[0], expected, rtol=1e-3, atol=5e-4)


def _heads(x: Tensor, heads: int) -> Tensor:
    """Return (B, C, H, W) as (B, heads, positions, C / heads)."""
    return torch.stack(x.flatten(2).chunk(heads, dim=1), dim=1).mT


def _attended(module: WindowAttentionModule, x: Tensor, cells: tuple[slice, slice]) -> Tensor:
    """Return what a window that holds `cells` of the map gives."""
    query, key = module.query_key(x)[:, :, *cells].chunk(2, dim=1)
    value = x if module.layer.attend_first else F.gelu(module.value(x))
    mixed = F.scaled_dot_product_attention(
        *(_heads(part, module.layer.heads) for part in (query, key, value[:, :, *cells]))
    )
    result = mixed.mT.flatten(1, 2).unflatten(2, query.shape[2:])
    return F.gelu(module.value(result)) if module.layer.attend_first else result


@torch.no_grad()
@pytest.mark.parametrize("partitions", [("far",), ("far", "near")])
def test_windows_attend_to_neighbours_or_to_positions_at_equal_distances(partitions: tuple[str, ...]) -> None:
    """Five windows of 3 along a side of 13, two zeros behind it."""
    layer = WindowAttention(8, 12, 2, 3, partitions, "gelu", attend_first=len(partitions) == 1)
    module, x = WindowAttentionModule(layer), torch.randn(2, 8, 13, 13)
    padded, expected = F.pad(x, (0, 2, 0, 2)), torch.zeros(2, 12, 15, 15)
    for partition in partitions:
        parts = [slice(i, None, 5) if partition == "far" else slice(3 * i, 3 * i + 3) for i in range(5)]
        for cells in product(parts, parts):
            expected[:, :, *cells] += _attended(module, padded, cells)
    torch.testing.assert_close(module(x), expected[:, :, :13, :13])


@torch.no_grad()
def test_the_single_head_compares_projected_positions_with_themselves() -> None:
    module, x = SingleHeadAttentionModule(SingleHeadAttention(6)), torch.randn(2, 6, 5, 5)
    query, key, value = (part.flatten(2) for part in (module.query(x), x, module.value(x)))
    weights = torch.einsum("bci,bcj->bij", query, key).div(6**0.5).softmax(dim=2)
    torch.testing.assert_close(module(x), torch.einsum("bij,bcj->bci", weights, value).unflatten(2, (5, 5)))
