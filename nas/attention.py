"""Layers that mix positions or channels by their content: descriptions with closed-form cost, as in `nas.layers`.

All of them read and give maps (channels, side); their projections are 1x1 convolutions. The two matrix products of
an attention, logits and weighted sum, count as multiply-accumulates; softmax and scaling do not.
"""

from __future__ import annotations

from dataclasses import dataclass

from nas.layers import Act, Leaf

FOURIER_FEATURES = 32
"""Sines and cosines for each axis in EdgeNeXt's positional encoding."""


@dataclass(frozen=True, slots=True)
class PatchAttention(Leaf):
    """Multi-head attention among the pixels that stand at one place of their patches (MobileViT, section 3.1).

    The map is cut into patches of `patch` x `patch`; its side must be a multiple of that.
    """

    width: int
    heads: int
    patch: int = 2

    @property
    def params(self) -> int:
        """Query, key, value and output projections, with biases."""
        return 4 * self.width * (self.width + 1)

    def macs(self, side: int) -> int:
        """Four projections, and two products among the patches for each place in a patch."""
        positions, patches = side**2, (side // self.patch) ** 2
        return 4 * self.width**2 * positions + 2 * patches * positions * self.width

    def working_elements(self, side: int) -> int:
        """Query, key and value twice, as a map and as patches, or once with the logits and weights of all heads."""
        tokens, pairs = self.width * side**2, self.heads * (side**2 // self.patch) ** 2
        return max(5 * tokens, 2 * tokens + 2 * pairs)


@dataclass(frozen=True, slots=True)
class SingleHeadAttention(Leaf):
    """Attention over all positions without key and output projections (TinyNeXt's "former" block).

    Logits are W1 x against x itself, values are W2 x: two width x width matrices without biases.
    """

    width: int

    @property
    def params(self) -> int:
        """The two matrices."""
        return 2 * self.width**2

    def macs(self, side: int) -> int:
        """Two projections and two products over all pairs of positions."""
        positions = side**2
        return 2 * self.width**2 * positions + 2 * positions**2 * self.width

    def working_elements(self, side: int) -> int:
        """The projected query and its scaled copy, or logits and weights."""
        tokens, pairs = self.width * side**2, side**4
        return max(2 * tokens, tokens + pairs, 2 * pairs)


@dataclass(frozen=True, slots=True)
class WindowAttention(Leaf):
    """Attention inside windows, its values widened (EMO, section 3.2: the expansion of an inverted residual).

    Windows are neighbours (``near``), or positions at equal distances over the whole map (``far``), or both, summed
    (EMOv2). The map is padded with zeros to whole windows. A map smaller than the window is one window.
    `attend_first` applies the weights before the values are widened (EMO) instead of after (EMOv2).
    """

    width: int
    out_width: int
    heads: int
    window: int
    partitions: tuple[str, ...]
    activation: str
    attend_first: bool

    @property
    def params(self) -> int:
        """Query and key, the widening values, biases, and what the activation carries."""
        projections = 2 * self.width * (self.width + 1) + self.out_width * (self.width + 1)
        return projections + Act(self.activation, self.out_width).params

    def padded(self, side: int) -> tuple[int, int]:
        """Return (window, side) in effect: the window fits the map, the side is a multiple of it."""
        window = min(self.window, side)
        return window, -(-side // window) * window

    def out(self, channels: int, side: int) -> tuple[int, int]:  # noqa: ARG002
        """Return the wide map."""
        return self.out_width, side

    def macs(self, side: int) -> int:
        """Projections on the padded map; the products inside each window, for each partition."""
        window, padded = self.padded(side)
        mixed = self.width if self.attend_first else self.out_width
        projections = self.width * (2 * self.width + self.out_width)
        return padded**2 * (projections + len(self.partitions) * window**2 * (self.width + mixed))

    def working_elements(self, side: int) -> int:
        """Values, the logits and weights of one partition, and what the partition before it gave."""
        window, padded = self.padded(side)
        if self.attend_first:
            return max(0, padded**2 * (self.width + 2 * self.heads * window**2) - side**2 * self.out_width)
        return padded**2 * (2 * self.width + self.out_width + 2 * self.heads * window**2)


@dataclass(frozen=True, slots=True)
class TransposedAttention(Leaf):
    """Attention among channels: the cross-covariance of normalised keys and queries (El-Nouby et al. 2021, XCiT)."""

    width: int
    heads: int

    @property
    def params(self) -> int:
        """Query, key, value and output projections with biases, and a temperature for each head."""
        return 4 * self.width * (self.width + 1) + self.heads

    def macs(self, side: int) -> int:
        """Four projections, and two products over the channels of each head."""
        return side**2 * (4 * self.width**2 + 2 * self.width**2 // self.heads)

    def working_elements(self, side: int) -> int:
        """Query, key and value, the first two normalised as well, and the weights among channels."""
        return 4 * self.width * side**2 + self.width**2 // self.heads


@dataclass(frozen=True, slots=True)
class LinearAttention(Leaf):
    """Separable attention: one score for each position weighs the keys into a context (MobileViTv2, section 3.1).

    Scores are normalised among the pixels that stand at one place of their `patch` x `patch` patches; the products
    with scores and context are elementwise and do not count.
    """

    width: int
    patch: int = 2

    @property
    def params(self) -> int:
        """The score, key and value projections and the output, with biases."""
        return (self.width + 1) * (3 * self.width + 1)

    def macs(self, side: int) -> int:
        """The projections."""
        return side**2 * self.width * (3 * self.width + 1)

    def working_elements(self, side: int) -> int:
        """Score, key and value, then the weighted keys."""
        return (3 * self.width + 1) * side**2


@dataclass(frozen=True, slots=True)
class SplitDepthwise(Leaf):
    """Depthwise convolutions over `splits` slices of the channels, each fed with the one before (EdgeNeXt, figure 2).

    The last slice passes unchanged. Slices hold ceil(width / splits) channels, the last one what is left.
    """

    width: int
    splits: int
    kernel: int = 3

    @property
    def slice_width(self) -> int:
        """Channels of every slice but the last."""
        return -(-self.width // self.splits)

    @property
    def params(self) -> int:
        """One depthwise convolution with bias for each slice but the last."""
        return (self.splits - 1) * self.slice_width * (self.kernel**2 + 1)

    def macs(self, side: int) -> int:
        """One multiply-accumulate for each weight at each position."""
        return (self.splits - 1) * self.slice_width * self.kernel**2 * side**2


@dataclass(frozen=True, slots=True)
class PositionalEncoding(Leaf):
    """Adds a projection of sines and cosines of the position (EdgeNeXt, section 3.1)."""

    width: int

    in_place = True

    @property
    def params(self) -> int:
        """The projection, with biases."""
        return (2 * FOURIER_FEATURES + 1) * self.width

    def macs(self, side: int) -> int:
        """The projection at each position."""
        return 2 * FOURIER_FEATURES * self.width * side**2

    def working_elements(self, side: int) -> int:
        """The features and their projection."""
        return (2 * FOURIER_FEATURES + self.width) * side**2
