"""What one forward pass shows, and that it leaves the network as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas.errors import InputError
from nas.interference.capture import Projection, capture


def images(count: int = 8, size: int = 8, channels: int = 3) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """A residual block: 1x1, norm, activation, 1x1."""

    def __init__(self, width: int = 8) -> None:
        """Expand by 2."""
        super().__init__()
        self.expand = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.norm = nn.BatchNorm2d(2 * width)
        self.project = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        return x + self.project(self.norm(self.expand(x)).relu())


def network(*between: nn.Module) -> nn.Sequential:
    """Return stem, `between`, pooling and a classifier."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *between, head)


def trained_norm(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Give a norm statistics and a scale as training leaves them."""
    with torch.no_grad():
        for tensor in (norm.weight, norm.running_var):
            tensor.copy_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(1)) + 0.5)
    return norm


def only_projection(model: nn.Module) -> Projection:
    (projection,) = capture(model, images()).projections
    return projection


def test_projections_are_the_1x1_maps_in_running_order() -> None:
    names = [projection.name for projection in capture(network(Block(), Block()), images()).projections]
    assert names == ["1.expand", "1.project", "2.expand", "2.project"]


def test_grouped_and_padded_convolutions_are_no_projections() -> None:
    between = (nn.Conv2d(8, 8, 1, groups=2), nn.Conv2d(8, 8, 1, padding=1), nn.Conv2d(8, 8, 1))
    assert only_projection(network(*between)).name == "3"


def test_linear_layer_on_tokens_is_a_projection() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 2, 2), nn.Flatten(2), nn.Linear(16, 12), nn.Flatten(), nn.Linear(96, 5))
    assert only_projection(model).weight.shape == (12, 16)


def test_convolution_that_gives_the_network_output_is_its_classifier() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 5, 1))
    assert only_projection(model).name == "0"


def test_inputs_are_those_of_the_layer() -> None:
    projection = only_projection(nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU()))
    pixels = {tuple(pixel) for pixel in images().movedim(1, -1).reshape(-1, 3).tolist()}
    assert {tuple(row) for row in projection.inputs.tolist()} == pixels


def test_strided_projection_shows_only_what_it_reads() -> None:
    projection = only_projection(nn.Sequential(nn.Conv2d(3, 8, 1, stride=2), nn.ReLU()))
    assert len(projection.inputs) == 8 * 4 * 4


def test_shared_layer_is_shown_on_its_first_call() -> None:
    shared = nn.Conv2d(8, 8, 1)
    assert only_projection(network(shared, nn.ReLU(), shared)).inputs.shape == (8 * 64, 8)


def test_following_batch_norm_is_folded_like_an_explicit_fold() -> None:
    conv, norm = nn.Conv2d(8, 6, 1, bias=False).eval(), trained_norm(nn.BatchNorm2d(6)).eval()
    fused = torch.nn.utils.fuse_conv_bn_eval(conv, norm)
    weight = only_projection(network(conv, norm, nn.Conv2d(6, 8, 3))).weight
    torch.testing.assert_close(weight, fused.weight.detach().double().flatten(1))


@pytest.mark.parametrize("between", [nn.ReLU(), nn.ReLU(inplace=True), nn.Dropout2d()])
def test_norm_is_folded_only_if_nothing_stands_between(between: nn.Module) -> None:
    conv, norm = nn.Conv2d(8, 8, 1), trained_norm(nn.BatchNorm2d(8))
    unfolded = torch.equal(only_projection(network(conv, between, norm)).weight, conv.weight.double().flatten(1))
    assert unfolded == isinstance(between, nn.ReLU)


def test_norm_without_statistics_folds_the_batch_variance() -> None:
    conv, norm = nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8, affine=False, track_running_stats=False)
    projection = only_projection(network(conv, norm))
    outputs = projection.inputs.double() @ projection.weight.T
    torch.testing.assert_close(outputs.var(0, correction=0), torch.ones(8).double(), rtol=1e-3, atol=0)


def test_named_block_shows_its_output() -> None:
    model = network(Block())
    (block,) = capture(model, images(), blocks=["1"]).blocks
    with torch.no_grad():
        whole = model.eval()[1](model[0](images())).movedim(1, -1).reshape(-1, 8)
    assert block.outputs.shape == whole.shape
    torch.testing.assert_close(block.outputs.sum(0), whole.sum(0), rtol=1e-4, atol=1e-4)


def test_token_map_with_channels_last_keeps_its_channels() -> None:
    class Permute(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.permute(0, 2, 3, 1)

    model = nn.Sequential(nn.Conv2d(3, 12, 1), Permute(), nn.Flatten(1))
    assert capture(model, images(), blocks=["1"]).blocks[0].outputs.shape[1] == 12


def test_network_is_left_as_it_was() -> None:
    model = network(Block()).train()
    model[1].norm.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    capture(model, images())
    assert model.training
    assert not model[1].norm.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_network_is_left_as_it_was_after_an_error() -> None:
    model = network(Block(), nn.Conv2d(99, 8, 1)).train()
    with pytest.raises(RuntimeError):
        capture(model, images())
    assert all(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_global_random_state_is_left_alone() -> None:
    model, before = network(Block()), torch.get_rng_state()
    capture(model, images())
    assert torch.equal(torch.get_rng_state(), before)


def test_inference_mode_around_the_call_changes_nothing() -> None:
    model = network(Block())
    outside = capture(model, images()).projections[0]
    with torch.inference_mode():
        inside = capture(model, images()).projections[0]
    assert inside.weight.equal(outside.weight)
    assert inside.inputs.equal(outside.inputs)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (images(1), "at least 2 images, got 1"),
        (images()[0], r"got torch.float32 \(3, 8, 8\)"),
        (images().to(torch.uint8), "float tensor"),
        (images() / 0, "images: values are not finite"),
    ],
)
def test_unusable_batch_is_refused(batch: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        capture(network(Block()), batch)


def test_layer_with_nan_weights_is_named() -> None:
    model = network(Block(), Block())
    model[2].project.weight.data[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"layer '2.project': weights are not finite"):
        capture(model, images())


def test_first_layer_given_infinite_activations_is_named() -> None:
    model = network(Block())
    model[0].weight.data.fill_(1e38)
    with pytest.raises(InputError, match=r"layer '1.expand': inputs are not finite"):
        capture(model, images())


def test_unknown_block_is_refused_with_the_names_of_blocks() -> None:
    with pytest.raises(InputError, match=r"unknown block '9'.*known: 1, 2"):
        capture(network(Block(), Block()), images(), blocks=["9"])


@pytest.mark.parametrize(("name", "message"), [("2", r"gives shape \(8, 5\)"), ("1.spare", "does not reach it")])
def test_block_without_a_map_is_refused(name: str, message: str) -> None:
    model = network(Block())
    model[1].spare = nn.Identity()
    with pytest.raises(InputError, match=message):
        capture(model, images(), blocks=[name])


def test_no_positions_are_refused() -> None:
    with pytest.raises(InputError, match="positions: must be at least 1, got 0"):
        capture(network(Block()), images(), positions=0)
