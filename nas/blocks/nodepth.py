"""`nodepth` and `nodepth_dense` (ours, from the claims of arXiv 2507.15798, whose own layout we could not read).

Depthwise and norm at C, never inside the bottleneck; the nonlinearity acts in the wider of the two spaces, so that
compression is a purely linear map:

- expansion >= 1: 1x1 to eC, act, linear 1x1 to C
- expansion < 1: act at C, linear 1x1 to eC, linear 1x1 to C

`nodepth_dense` puts a dense convolution in place of the depthwise one: the other reading of the name.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, conv_norm, depthwise, middle_width, pointwise, skip_where_kept
from nas.layers import Act, Chain, Conv, Parallel, chain


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers of `nodepth`; the expansion is of the input width."""
    return _layers(block, place, depthwise(block, place.in_width, place.stride))


def dense_layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers of `nodepth_dense`."""
    width = place.in_width
    return _layers(block, place, conv_norm(block, Conv(width, width, block.kernel, place.stride)))


def _layers(block: Block, place: Place, spatial: Chain) -> Chain | Parallel:
    middle = middle_width(place.in_width, block.expansion)
    compresses = block.expansion < 1
    branch = chain(
        spatial=spatial,
        act=Act(block.activation, place.in_width) if compresses else None,
        mix=pointwise(block, place.in_width, middle, act=not compresses),
        project=pointwise(block, middle, place.out_width),
    )
    return skip_where_kept(block, place, branch)


_GENES = frozenset({"kernel", "expansion", "activation", "norm", "skip"})

FAMILY = Family(layers, _GENES)
DENSE_FAMILY = Family(dense_layers, _GENES)
