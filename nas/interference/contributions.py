"""How few of a map's input channels make its output, and what is lost when the network gets only those?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from nas.interference import discovery
from nas.interference.running import Args, Kwargs, as_logits, run

TOLERANCE = 0.1
"""Share of the output's length that the dropped channels may make together."""
POSITIONS = 32
WORKING_ELEMENTS = 2**22
"""Values that are held at once: every position has one for each weight."""
KEPT_SHARE = 0.25


def activation_ratio(weight: Tensor, inputs: Tensor) -> float:
    """Return the smallest share of channels whose rest makes at most `TOLERANCE` of |W a|, mean over positions.

    `weight` (out, in), `inputs` (N, in), of which at most `POSITIONS` evenly spaced rows are looked at. Channels are
    dropped in order of abs(a_i) |w_i|, the smallest first. The idea is that of CETT in "Sparsing Law" (Luo et al. 2024,
    arXiv 2411.02335); its use on any 1x1, with signed activity, is ours.
    """
    # Scaled to 1, so that squares stay inside float32; no ratio depends on it.
    rows, weight = _unit_scale(inputs[:: -(-len(inputs) // POSITIONS)]), _unit_scale(weight)
    order = (rows.abs() * torch.linalg.vector_norm(weight, dim=0)).argsort(1)
    together = max(1, WORKING_ELEMENTS // weight.numel())
    kept = [_kept(weight, *part) for part in zip(rows.split(together), order.split(together), strict=True)]
    return torch.cat(kept).mean().item()


def topk_drop(
    model: nn.Module, images: Tensor, labels: Tensor, logits: Tensor, weights: Mapping[str, Tensor]
) -> float | None:
    """Return the share of what `model` knows beyond chance that it loses with a quarter of its channels.

    Each 1x1 in `weights`, name -> (out, in), gets at each position the `KEPT_SHARE` of its input channels with the
    largest abs(a_i) |w_i|, zeros for the rest; the drop is the loss's rise over (log classes - loss), from the `logits`
    (B, K) of the plain pass. One forward pass. None where the plain loss is not below log classes: such a network
    knows nothing that it could lose. Ours.
    """
    labels = labels.to(logits.device, torch.long)
    plain = F.cross_entropy(logits, labels).item()
    known = math.log(logits.shape[1]) - plain
    if not known > 0:
        return None
    found = as_logits(run(model, images, lambda: _keep_largest(model, weights)))
    return None if found is None else (F.cross_entropy(found, labels).item() - plain) / known


def largest_channels(values: Tensor, lengths: Tensor, dim: int) -> Tensor:
    """Return `values` with all but the `KEPT_SHARE` of channels (rounded up) of largest abs(a_i) |w_i| set to zero.

    `lengths` (C,) are the |w_i|; the channels are along `dim`, and every position chooses its own.
    """
    contribution = (values.movedim(dim, -1).abs() * lengths).movedim(-1, dim)
    kept = contribution.topk(math.ceil(KEPT_SHARE * len(lengths)), dim=dim, sorted=False).indices
    return torch.zeros_like(values).scatter(dim, kept, values.gather(dim, kept))


def _keep_largest(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[RemovableHandle]:
    for name, projection in discovery.projections(model).items():
        if name in weights:
            lengths = torch.linalg.vector_norm(weights[name], dim=0).to(projection.weight.device, torch.float32)
            yield projection.register_forward_pre_hook(_largest_only(lengths), with_kwargs=True)


def _largest_only(lengths: Tensor) -> Callable[[nn.Module, Args, Kwargs], tuple[Args, Kwargs]]:
    def hook(module: nn.Module, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
        dim = -1 if isinstance(module, nn.Linear) else 1
        if args:
            return (largest_channels(args[0], lengths, dim), *args[1:]), kwargs
        name, given = next(iter(kwargs.items()))
        return args, kwargs | {name: largest_channels(given, lengths, dim)}

    return hook


def _kept(weight: Tensor, rows: Tensor, order: Tensor) -> Tensor:
    """Return the share of channels kept at each of the `rows` (P, in), dropping them in `order` (P, in); (P,)."""
    contributions = weight.T[order] * rows.gather(1, order).unsqueeze(2)
    lengths = torch.linalg.vector_norm(contributions.cumsum(1), dim=2)
    droppable = lengths <= TOLERANCE * lengths[:, -1:]
    # The last that fits: what is dropped may cancel, so that lengths need not grow.
    counts = torch.arange(1, weight.shape[1] + 1)
    most: Tensor = (droppable * counts).amax(1)
    return 1 - most / weight.shape[1]


def _unit_scale(values: Tensor) -> Tensor:
    values = values.double()
    return (values / values.abs().max().clamp_min(torch.finfo(torch.float64).tiny)).float()
