"""How fast does a block's residual branch grow with its input: slower than linearly, linearly, or faster?

`superlinearity` is d log |f(alpha x)| / d log alpha at alpha = 1 on the block's own inputs. Layers without biases and
ReLU give 1, a product of two branches (StarNet) or a squared activation 2, a norm before the rest 0. Ours; that
superlinear activations expose superposition is a claim of arXiv 2507.15798.

f is what the block adds to its input: the output u of a module inside it for which block(x) = u + x, to rounding. A
ReLU, or any module, may follow that sum, as in ResNet; and the sum may have several steps, as in a transformer block,
where x' = u_1 + x is what the next branch is given and block(x) = u_2 + x': f is then u_1 + u_2. A block in which no
such modules are found is taken to have no skip, and f is the block: also one that scales its branch outside any module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf, log, nan

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from nas.interference.running import eval_mode, hooked, stand_ins

IMAGES = 32
"""Images a block is run on: its two runs cost a quarter of its forward pass on 256."""
STEP = 0.01
SEARCHED_IMAGES = 2
COMPARED_VALUES = 256
ROUNDING = 1e-6
"""Share of the largest value by which two float32 results of the same sum may differ."""
MOST_STEPS = 8

Key = tuple[str, int]
"""A module inside a block by name, and which of its calls."""


@dataclass(frozen=True, eq=False)
class BlockCall:
    """How a block was called, for a few images: what can be run again after the pass. `args[0]` is the map."""

    block: nn.Module
    args: tuple[object, ...]
    kwargs: dict[str, object]
    images: int

    @classmethod
    def of(cls, block: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], images: int) -> BlockCall | None:
        """Return the call for the first `IMAGES` images of a batch; None where no map of the batch comes first."""
        if not args or not isinstance(args[0], Tensor) or args[0].ndim == 0 or len(args[0]) % images:
            return None
        return cls(block, args, kwargs, images).part(min(IMAGES, images))

    def part(self, images: int) -> BlockCall:
        """Return the call for the first `images`, in tensors of its own, in float32 or wider."""
        leading = len(self.map)
        kept = leading // self.images * images

        def taken(value: object) -> object:
            if not isinstance(value, Tensor):
                return value
            part = value[:kept] if value.ndim and len(value) == leading else value
            return _widened(part.detach()).clone()

        kwargs = {name: taken(value) for name, value in self.kwargs.items()}
        return replace(self, args=tuple(map(taken, self.args)), kwargs=kwargs, images=images)

    @property
    def map(self) -> Tensor:
        """The block's input."""
        given = self.args[0]
        if not isinstance(given, Tensor):
            raise TypeError(f"a block call starts with a map, got {type(given).__name__}")
        return given

    def run(self, scale: float = 1.0) -> object:
        """Return what the block gives for its input times `scale`, in float32 or wider."""
        weights = {name: _widened(tensor) for name, tensor in stand_ins(self.block).items()}
        return torch.func.functional_call(self.block, weights, (self.map * scale, *self.args[1:]), self.kwargs)


def superlinearity(call: BlockCall) -> float | None:
    """Return d log |f(alpha x)| / d log alpha at alpha = 1, by a central difference, |.| over the images of the call.

    None where f gives nothing (a branch scaled by zero), or where the block gives no tensor or cannot be run alone on
    a part of the batch.
    """
    with eval_mode(call.block), torch.inference_mode(False), torch.no_grad():
        try:
            terms = branch_terms(call)
            low, high = (_branch_length(call, terms, 1 + step) for step in (-STEP, STEP))
        except RuntimeError:
            return None
    if not (0 < low < inf and 0 < high < inf):
        return None
    return log(high / low) / log((1 + STEP) / (1 - STEP))


def branch_terms(call: BlockCall) -> tuple[Key, ...]:
    """Return the modules whose outputs the block adds to its input; none where it has no identity skip."""
    few = call.part(min(SEARCHED_IMAGES, call.images))
    seen = _Passages(few.map.shape)
    with hooked(lambda: seen.attach(few.block)):
        result = few.run()
    y = seen.sample(result)
    if y is None or not seen.outputs or not y.any():
        return ()
    x = _compared(few.map)
    outputs, inputs = torch.stack([output for _, output in seen.outputs]), torch.stack([x, *seen.inputs])
    before_last = (given for given, output in seen.pairs if _is_near((output - y).abs().max(), y))
    for total in (y, *before_last):
        if steps := _steps_back(total, outputs, inputs):
            return tuple(seen.outputs[i][0] for i in steps)
    distance, i = ((outputs + x).relu() - y).abs().amax(1).min(0)
    return (seen.outputs[int(i)][0],) if _is_near(distance, y) else ()


def _steps_back(total: Tensor, outputs: Tensor, inputs: Tensor) -> list[int]:
    """Return which of the `outputs` (M, S) lead from `total` (S,) to x, the first of the `inputs` (K, S), or none.

    Each step finds an output u and an input z with total = u + z, and goes on from z; z = x ends it.
    """
    steps: list[int] = []
    for _ in range(MOST_STEPS):
        distances = (total - outputs.unsqueeze(1) - inputs).abs().amax(2)
        distances[~outputs.any(1)] = torch.inf
        distances[:, (inputs == total).all(1)] = torch.inf
        to_x, last = distances[:, 0].min(0)
        if _is_near(to_x, total):
            return [*steps, int(last)]
        nearest = int(distances.argmin())
        if not _is_near(distances.flatten()[nearest], total):
            return []
        output, given = divmod(nearest, len(inputs))
        steps.append(output)
        total = inputs[given]
    return []


@dataclass(eq=False)
class _Passages:
    """What the modules inside a block are given and give, where it has the shape of the block's input: some values."""

    shape: torch.Size
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[tuple[Key, Tensor]] = field(default_factory=list)
    pairs: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _open: list[Tensor | None] = field(default_factory=list)
    _calls: Counter[str] = field(default_factory=Counter)

    def attach(self, block: nn.Module) -> Iterator[RemovableHandle]:
        """Register a hook before and after each module inside `block`; the first copies what may be overwritten."""
        for name, module in block.named_modules():
            if module is not block:
                yield module.register_forward_pre_hook(self._before)
                yield module.register_forward_hook(self._after(name))

    def sample(self, result: object) -> Tensor | None:
        """Return the compared values of `result`, or None where it is no tensor of the shape."""
        tensor = _tensor(result)
        return _compared(tensor) if tensor is not None and tensor.shape == self.shape else None

    def _before(self, _module: nn.Module, args: tuple[object, ...]) -> None:
        self._open.append(self.sample(args[0]) if args else None)

    def _after(self, name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _args: object, result: object) -> None:
            given, output = self._open.pop(), self.sample(result)
            key = (name, self._calls[name])
            self._calls[name] += 1
            if given is not None:
                self.inputs.append(given)
            if output is not None:
                self.outputs.append((key, output))
            if given is not None and output is not None:
                self.pairs.append((given, output))

        return hook


def _branch_length(call: BlockCall, terms: Sequence[Key], scale: float) -> float:
    """Return the length of the sum of what the modules `terms` give, or of the block's output where there are none."""
    found: list[Tensor] = []
    wanted, calls = set(terms), Counter[str]()

    def keep(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _args: object, result: object) -> None:
            tensor = _tensor(result)
            if (name, calls[name]) in wanted and tensor is not None:
                found.append(tensor.clone() if len(wanted) > 1 else _length(tensor))
            calls[name] += 1

        return hook

    names = {name for name, _ in terms}
    with hooked(lambda: (call.block.get_submodule(name).register_forward_hook(keep(name)) for name in names)):
        result = _tensor(call.run(scale))
    if not terms:
        return nan if result is None else _length(result).item()
    return found[0].item() if len(found) == 1 else _length(torch.stack(found).sum(0)).item()


def _tensor(result: object) -> Tensor | None:
    """Return a module's result, or the first of several, if it is a floating-point tensor."""
    first = result[0] if isinstance(result, tuple | list) and result else result
    return first if isinstance(first, Tensor) and first.is_floating_point() else None


def _length(values: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(values, dtype=torch.float64)
    return length


def _compared(values: Tensor) -> Tensor:
    """Return a copy of at most `COMPARED_VALUES` values, evenly spaced, (S,), float64."""
    flat = values.flatten()
    return flat[:: -(-len(flat) // COMPARED_VALUES)].to(torch.float64, copy=True)


def _is_near(distance: Tensor, values: Tensor) -> bool:
    return bool(distance <= ROUNDING * values.abs().max())


def _widened(value: Tensor) -> Tensor:
    return value.to(torch.promote_types(value.dtype, torch.float32)) if value.is_floating_point() else value
