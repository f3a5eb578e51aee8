"""What a network is made of: one description, read as a cost here and as modules in `nas.network`.

A layer is a frozen value. Leaves state their parameters, their multiply-accumulates and the shape they give;
`Chain` and `Parallel` put leaves together. Maps are square, so a shape is (channels, side).

Memory model of `peak_activation_elements`: layers run one after another; while a leaf runs, its input, its output,
what it works with inside, and every tensor that a surrounding branch still needs are alive. Norms are folded,
activations run in place, slices of channels are views, and branches are combined into a tensor of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from nas.errors import SpaceError

ACTIVATIONS = (
    "relu",
    "relu6",
    "leaky_relu",
    "hardswish",
    "silu",
    "gelu",
    "mish",
    "relu_squared",
    "solu",
    "identity",
)
NORMS = ("batch", "layer", "group", "none")
NORM_GROUPS = 8
"""Most groups of a group norm; narrower widths use the largest divisor up to it."""


class Leaf:
    """A layer without layers inside; on its own, one that passes its input on."""

    __slots__ = ()

    in_place = False
    """Whether the layer needs no output of its own: folded norms, activations."""

    view = False
    """Whether the output is some channels of the input, never a tensor of its own."""

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return 0

    def macs(self, side: int) -> int:  # noqa: ARG002 - a map without weights multiplies nothing
        """Multiply-accumulates of convolutions and matrix products for one image with a map of `side`."""
        return 0

    def working_elements(self, side: int) -> int:  # noqa: ARG002 - most layers need nothing but input and output
        """Elements alive at once inside the layer, apart from its input and output."""
        return 0

    def out(self, channels: int, side: int) -> tuple[int, int]:
        """Return (channels, side) of the output: those of the input, unless a layer says otherwise."""
        return channels, side


@dataclass(frozen=True, slots=True)
class Conv(Leaf):
    """A square convolution, padded so that only the stride shrinks the map."""

    in_width: int
    out_width: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    bias: bool = False

    @property
    def padding(self) -> int:
        """Zeros on each side: ceil(side / stride) for odd kernels; none for patches, where kernel = stride."""
        return (self.kernel - 1) // 2 if self.kernel % 2 else max(0, self.kernel - self.stride) // 2

    @property
    def params(self) -> int:
        """Weights and biases."""
        return self.out_width * (self.in_width // self.groups * self.kernel**2 + self.bias)

    def out(self, channels: int, side: int) -> tuple[int, int]:  # noqa: ARG002
        """Return the width of the convolution and the shrunken side; SpaceError when nothing would be left."""
        out_side = (side + 2 * self.padding - self.kernel) // self.stride + 1
        if out_side < 1:
            raise SpaceError(f"the map would vanish: {side}x{side} under a {self.kernel}x{self.kernel} convolution")
        return self.out_width, out_side

    def macs(self, side: int) -> int:
        """One multiply-accumulate for each weight at each output position."""
        _, out_side = self.out(self.in_width, side)
        return self.out_width * (self.in_width // self.groups) * self.kernel**2 * out_side**2


@dataclass(frozen=True, slots=True)
class Norm(Leaf):
    """A normalisation over `width` channels; `layer` normalises the channels of each position."""

    kind: str
    width: int
    most_groups: int = NORM_GROUPS

    in_place = True

    @property
    def params(self) -> int:
        """Scale and shift."""
        return 0 if self.kind == "none" else 2 * self.width

    @property
    def groups(self) -> int:
        """Groups of a group norm: the largest divisor of the width up to `most_groups`."""
        return next(n for n in range(min(self.most_groups, self.width), 0, -1) if self.width % n == 0)


@dataclass(frozen=True, slots=True)
class Act(Leaf):
    """An activation; `solu` carries the channel LayerNorm that its source puts behind it."""

    kind: str
    width: int

    in_place = True

    @property
    def params(self) -> int:
        """Scale and shift of SoLU's LayerNorm, else nothing."""
        return 2 * self.width if self.kind == "solu" else 0


@dataclass(frozen=True, slots=True)
class SqueezeExcite(Leaf):
    """Channel gates from the pooled map: width -> squeeze, [norm], activation, -> width, gate (Hu et al. 2018)."""

    width: int
    squeeze: int
    gate: Literal["sigmoid", "hardsigmoid"] = "sigmoid"
    activation: str = "relu"
    norm: str = "none"

    @property
    def params(self) -> int:
        """Two 1x1 convolutions: with biases, or with a norm in between and none; what the activation carries."""
        biases = self.width + self.squeeze if self.norm == "none" else 2 * self.squeeze
        return 2 * self.width * self.squeeze + biases + Act(self.activation, self.squeeze).params

    def macs(self, side: int) -> int:  # noqa: ARG002 - the gates are computed on one pooled position
        """Two matrix products on the pooled vector."""
        return 2 * self.width * self.squeeze

    def working_elements(self, side: int) -> int:  # noqa: ARG002
        """The gates."""
        return self.width


@dataclass(frozen=True, slots=True)
class LayerScale(Leaf):
    """A learned factor for each channel, `initial` at the start (Touvron et al. 2021, CaiT, section 2.2)."""

    width: int
    initial: float

    in_place = True

    @property
    def params(self) -> int:
        """One for each channel."""
        return self.width


@dataclass(frozen=True, slots=True)
class Narrow(Leaf):
    """The channels from `start` to `start` + `width`: a view."""

    start: int
    width: int

    view = True

    def out(self, channels: int, side: int) -> tuple[int, int]:  # noqa: ARG002
        """Return fewer channels."""
        return self.width, side


@dataclass(frozen=True, slots=True)
class ChannelShuffle(Leaf):
    """Channels of `groups` interleaved, so that groups mix (Zhang et al. 2018, ShuffleNet, figure 1)."""

    groups: int


@dataclass(frozen=True, slots=True)
class Pool(Leaf):
    """The largest, or the mean, of each window; strided by `stride`, and gone when the stride is dropped."""

    kind: Literal["max", "mean"]
    kernel: int
    stride: int

    @property
    def padding(self) -> int:
        """Cells on each side of an odd window, which give ceil(side / stride)."""
        return (self.kernel - 1) // 2

    def out(self, channels: int, side: int) -> tuple[int, int]:
        """Return the shrunken side; SpaceError when nothing would be left."""
        out_side = (side + 2 * self.padding - self.kernel) // self.stride + 1
        if out_side < 1:
            raise SpaceError(f"the map would vanish: {side}x{side} under a {self.kernel}x{self.kernel} pooling")
        return channels, out_side


@dataclass(frozen=True, slots=True)
class GlobalPool(Leaf):
    """The mean over all positions: (channels, side) -> (channels, 1)."""

    def out(self, channels: int, side: int) -> tuple[int, int]:  # noqa: ARG002
        """Return one position."""
        return channels, 1


@dataclass(frozen=True, slots=True)
class Classifier(Leaf):
    """The last linear layer, on a pooled map."""

    in_width: int
    num_classes: int

    @property
    def params(self) -> int:
        """Weights and biases."""
        return (self.in_width + 1) * self.num_classes

    def macs(self, side: int) -> int:  # noqa: ARG002
        """One for each weight."""
        return self.in_width * self.num_classes

    def out(self, channels: int, side: int) -> tuple[int, int]:  # noqa: ARG002
        """Return the logits as channels of a single position."""
        return self.num_classes, 1


@dataclass(frozen=True, slots=True)
class Chain:
    """Layers one after another, each with a name."""

    layers: tuple[tuple[str, Layer], ...]


@dataclass(frozen=True, slots=True)
class Parallel:
    """Branches on one input, put together; a branch without layers passes the input on."""

    branches: tuple[tuple[str, Layer], ...]
    combine: Literal["add", "multiply", "concat"] = "add"


@dataclass(frozen=True, slots=True)
class AtMultiple:
    """A layer run on the map stretched to a multiple of `multiple`, and shrunk back, bilinearly (as in MobileViT)."""

    layer: Layer
    multiple: int


Layer = Leaf | Chain | Parallel | AtMultiple


def chain(**layers: Layer | None) -> Chain:
    """Return the named layers in order, without those that are None."""
    return Chain(tuple((name, layer) for name, layer in layers.items() if layer is not None))


def residual(branch: Layer, shortcut: Layer | None = None) -> Parallel:
    """Return branch(x) + shortcut(x), the identity unless a shortcut is given."""
    return Parallel((("branch", branch), ("shortcut", shortcut or Chain(()))))


def restride(layer: Layer, stride: int) -> Layer:
    """Return `layer` with every stride above one set to `stride`; parameters stay as they are."""
    match layer:
        case Chain(layers):
            return Chain(tuple((name, restride(inner, stride)) for name, inner in layers))
        case Parallel(branches):
            return replace(layer, branches=tuple((name, restride(inner, stride)) for name, inner in branches))
        case AtMultiple(inner):
            return replace(layer, layer=restride(inner, stride))
        case Pool() if stride == 1:
            return Chain(())
        case Conv() | Pool() if layer.stride > 1:
            return replace(layer, stride=stride)
        case _:
            return layer


def count_params(layer: Layer) -> int:
    """Return the trainable parameters of `layer`, which do not depend on the map."""
    match layer:
        case Chain(inside) | Parallel(inside):
            return sum([count_params(inner) for _, inner in inside])
        case AtMultiple(inner):
            return count_params(inner)
        case _:
            return layer.params


class Trace(NamedTuple):
    """What a layer costs on one image, and the shape it gives."""

    params: int
    macs: int
    peak_activation_elements: int
    channels: int
    side: int


def trace(layer: Layer, channels: int, side: int) -> Trace:
    """Return the closed-form cost of `layer` on a map of (channels, side)."""
    return _trace(layer, channels, side, held=0, input_held=False)


def _trace(layer: Layer, channels: int, side: int, *, held: int, input_held: bool) -> Trace:
    """Trace with `held` elements alive outside; `input_held` when the input is among them already."""
    match layer:
        case Chain(layers):
            return _trace_chain(layers, channels, side, held, input_held)
        case Parallel():
            return _trace_parallel(layer, channels, side, held, input_held)
        case AtMultiple():
            return _trace_at_multiple(layer, channels, side, held, input_held)
        case _:
            out_channels, out_side = layer.out(channels, side)
            alive = held + (0 if input_held else channels * side**2) + layer.working_elements(side)
            if not layer.view and (not layer.in_place or input_held):
                alive += out_channels * out_side**2
            return Trace(layer.params, layer.macs(side), alive, out_channels, out_side)


def _trace_chain(layers: tuple[tuple[str, Layer], ...], channels: int, side: int, held: int, input_held: bool) -> Trace:
    params = macs = 0
    peak = held + (0 if input_held else channels * side**2)
    for _, layer in layers:
        step = _trace(layer, channels, side, held=held, input_held=input_held)
        params, macs = params + step.params, macs + step.macs
        peak = max(peak, step.peak_activation_elements)
        channels, side, input_held = step.channels, step.side, input_held and _is_view(layer)
    return Trace(params, macs, peak, channels, side)


def _trace_parallel(layer: Parallel, channels: int, side: int, held: int, input_held: bool) -> Trace:
    """Branches run in order; the input lives until the last one has read it, results live until they are combined."""
    given = 0 if input_held else channels * side**2
    keeps_input = any(_is_view(branch) for _, branch in layer.branches)
    params = macs = out_channels = peak = results = 0
    for i, (_, branch) in enumerate(layer.branches, start=1):
        frees = i == len(layer.branches) and not keeps_input
        around = held + results + (0 if frees else given)
        step = _trace(branch, channels, side, held=around, input_held=input_held or not frees)
        params, macs = params + step.params, macs + step.macs
        peak = max(peak, step.peak_activation_elements)
        out_channels = out_channels + step.channels if layer.combine == "concat" else step.channels
        results += 0 if _is_view(branch) else step.channels * step.side**2
    combined = held + results + (given if keeps_input else 0) + out_channels * step.side**2
    return Trace(params, macs, max(peak, combined), out_channels, step.side)


def _is_view(layer: Layer) -> bool:
    """Return whether the result is the input itself, or some of its channels."""
    if isinstance(layer, Chain):
        return all(_is_view(inner) for _, inner in layer.layers)
    return isinstance(layer, Leaf) and layer.view


def _trace_at_multiple(layer: AtMultiple, channels: int, side: int, held: int, input_held: bool) -> Trace:
    stretched = -(-side // layer.multiple) * layer.multiple
    if stretched == side:
        return _trace(layer.layer, channels, side, held=held, input_held=input_held)
    alive = held + (0 if input_held else channels * side**2)
    step = _trace(layer.layer, channels, stretched, held=held, input_held=False)
    back = held + step.channels * (step.side**2 + side**2)
    peak = max(alive + channels * stretched**2, step.peak_activation_elements, back)
    return step._replace(peak_activation_elements=peak, side=side)
