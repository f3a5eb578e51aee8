"""Which part of a block is its residual branch, and how fast that grows."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from nas.interference.branch import BlockCall, branch_terms, superlinearity
from nas.network.modules import Branches, ChannelLayerNorm, ReLUSquared, SoLU


def maps(count: int = 4, channels: int = 8) -> Tensor:
    return torch.randn(count, channels, 5, 5, generator=torch.Generator().manual_seed(0))


def call(block: nn.Module, given: Tensor | None = None) -> BlockCall:
    given = maps() if given is None else given
    found = BlockCall.of(block.eval(), (given,), {}, len(given))
    assert found is not None
    return found


class Residual(nn.Module):
    """x + branch(x), or what `end` makes of that."""

    def __init__(self, branch: nn.Module, end: Callable[[Tensor], Tensor] = torch.positive) -> None:
        """Take the branch and what follows the sum."""
        super().__init__()
        self.branch, self.end = branch, end

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        return self.end(self.branch(x) + x)


class InPlaceSum(Residual):
    """As `Residual`, the input added in place, as torchvision does."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        total = self.branch(x)
        total += x
        return self.end(total)


class Two(nn.Module):
    """A transformer block: x' = x + a(x), then x' + b(x')."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        """Take both branches."""
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        x = x + self.first(x)
        return x + self.second(x)


class Power(nn.Module):
    """abs(x) to a power."""

    def __init__(self, power: float) -> None:
        """Take the power."""
        super().__init__()
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        return x.abs() ** self.power


def conv(outs: int = 8) -> nn.Conv2d:
    return nn.Conv2d(8, outs, 1, bias=False)


@pytest.mark.parametrize("power", [0.5, 1, 2, 3])
def test_exponent_of_a_power_is_the_power(power: float) -> None:
    assert superlinearity(call(Power(power))) == pytest.approx(power, abs=1e-3)
    assert superlinearity(call(Residual(Power(power)))) == pytest.approx(power, abs=1e-3)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((nn.ReLU(),), 1),
        ((nn.LeakyReLU(0.2),), 1),
        ((ReLUSquared(),), 2),
        ((ChannelLayerNorm(8, eps=1e-8), nn.ReLU()), 0),
        ((Branches({"gate": nn.ReLU(), "value": nn.Identity()}, "multiply"),), 2),
    ],
)
def test_exponent_of_a_layer_is_its_degree(layers: tuple[nn.Module, ...], expected: float) -> None:
    block = Branches({"branch": nn.Sequential(conv(), *layers), "shortcut": nn.Sequential()}, "add")
    assert superlinearity(call(block)) == pytest.approx(expected, abs=1e-3)


def test_solu_without_its_norm_grows_faster_than_linearly() -> None:
    class Bare(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x.softmax(dim=1)

    assert 1.3 < (superlinearity(call(Bare(), maps() * 2)) or math.nan) < 2
    assert superlinearity(call(SoLU(8))) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("kind", [Residual, InPlaceSum])
@pytest.mark.parametrize("end", [nn.Identity(), nn.ReLU(), nn.ReLU(inplace=True), nn.GELU(), torch.relu])
def test_skip_is_found_whatever_follows_the_sum(kind: type[Residual], end: Callable[[Tensor], Tensor]) -> None:
    block = kind(nn.Sequential(conv(), ReLUSquared()), end)
    assert [name for name, _ in branch_terms(call(block))] in (["branch"], ["branch.1"])
    assert superlinearity(call(block)) == pytest.approx(2, abs=1e-3)


def test_branch_scaled_to_almost_nothing_is_found() -> None:
    branch = nn.Sequential(conv(), ReLUSquared(), conv())
    branch[2].weight.data *= 1e-6
    assert superlinearity(call(Residual(branch))) == pytest.approx(2, abs=1e-3)


def test_branch_of_two_steps_is_their_sum() -> None:
    block = Two(nn.Sequential(conv(), ReLUSquared()), nn.Sequential(ChannelLayerNorm(8), conv(), nn.ReLU()))
    names = {name for name, _ in branch_terms(call(block))}
    assert names in ({"first", "second"}, {"first.1", "second.2"}, {"first", "second.2"}, {"first.1", "second"})
    low, high = (
        torch.linalg.vector_norm(block(maps() * scale) - maps() * scale).log().item() for scale in (0.99, 1.01)
    )
    expected = (high - low) / math.log(1.01 / 0.99)
    assert superlinearity(call(block)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("block", [nn.Sequential(conv(), nn.ReLU(), conv()), nn.Sequential(conv(16), nn.ReLU())])
def test_block_without_a_skip_is_its_own_branch(block: nn.Module) -> None:
    assert branch_terms(call(block)) == ()
    assert superlinearity(call(block)) == pytest.approx(1, abs=1e-3)


def test_shortcut_with_weights_is_no_skip() -> None:
    assert branch_terms(call(Branches({"branch": conv(), "shortcut": conv()}, "add"))) == ()


def test_skip_inside_a_block_is_not_the_block_s() -> None:
    block = nn.Sequential(conv(), Residual(ReLUSquared()))
    assert branch_terms(call(block)) == ()


@pytest.mark.parametrize(
    ("block", "channels", "terms"),
    [
        (lambda: torchvision.models.resnet18().layer1[1], 64, {"bn2"}),
        (lambda: timm.create_model("mobilenetv2_035").blocks[1][1], 8, {"bn3.drop"}),
        (lambda: timm.create_model("convnext_atto").stages[0].blocks[0], 40, {"drop_path"}),
    ],
)
def test_skip_of_a_foreign_block_is_found(block: Callable[[], nn.Module], channels: int, terms: set[str]) -> None:
    assert {name for name, _ in branch_terms(call(block(), maps(channels=channels)))} == terms


def test_steps_of_a_vision_transformer_block_are_found() -> None:
    block = timm.create_model("vit_tiny_patch16_224").blocks[0]
    tokens = torch.randn(4, 9, 192, generator=torch.Generator().manual_seed(0))
    assert [name for name, _ in branch_terms(call(block, tokens))] == ["mlp.fc2", "attn.proj"]


@pytest.mark.parametrize("branch", [Power(2), nn.Sequential(conv(), nn.ReLU())])
def test_low_precision_is_run_in_float32(branch: nn.Module) -> None:
    exact = superlinearity(call(Residual(branch)))
    assert superlinearity(call(Residual(branch).bfloat16(), maps().bfloat16())) == pytest.approx(exact, abs=0.02)


def test_branch_that_gives_nothing_is_not_measured() -> None:
    silent = conv()
    nn.init.zeros_(silent.weight)
    assert superlinearity(call(nn.Sequential(silent))) is None


def test_block_that_cannot_run_alone_is_not_measured() -> None:
    class Whole(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(64, -1)[:, :1]

    assert superlinearity(call(Whole(), maps(64))) is None


def test_call_is_kept_for_a_few_images_in_copies() -> None:
    given, mask = maps(64), torch.ones(64, 1)
    found = BlockCall.of(nn.Identity(), (given, mask, 3), {"bias": torch.ones(8)}, 64)
    assert found is not None
    assert (found.images, found.map.shape[0], found.args[2]) == (32, 32, 3)
    assert found.args[1].shape == (32, 1)
    assert found.kwargs["bias"].shape == (8,)
    given.zero_()
    assert found.map.any()


@pytest.mark.parametrize("args", [(), (3,), (torch.ones(7, 8),)])
def test_call_without_a_batch_is_not_kept(args: tuple[object, ...]) -> None:
    assert BlockCall.of(nn.Identity(), args, {}, 4) is None


def test_block_is_left_as_it_was() -> None:
    block = Residual(nn.Sequential(conv(), nn.BatchNorm2d(8))).train()
    before = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    superlinearity(BlockCall(block, (maps(),), {}, 4))
    assert all(module.training for module in block.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in block.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in block.modules())
