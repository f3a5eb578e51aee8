"""What one backward pass shows of projections and blocks, and that it leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.errors import InputError
from nas.interference.capture import Capture, capture

LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])


def images(count: int = 8) -> Tensor:
    return torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(0))


class Doubled(nn.Module):
    """Works in place on what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what was given, changed."""
        return x.mul_(2)


def network(*first: nn.Module, stride: int = 1) -> nn.Sequential:
    """Return (`first`,) stem, expanding 1x1 with norm, contracting 1x1, pooling and a classifier for five classes."""
    return nn.Sequential(
        nn.Sequential(*first, nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True)),
        nn.Sequential(nn.Conv2d(4, 12, 1, stride=stride), nn.BatchNorm2d(12), nn.ReLU(inplace=True)),
        nn.Sequential(nn.Conv2d(12, 4, 1), nn.ReLU(inplace=True)),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)),
    )


def captured(model: nn.Module, labels: Tensor = LABELS) -> Capture:
    return capture(model, images(), labels, blocks=["1", "2"])


def used(model: nn.Sequential, activity: Tensor, rest: Callable[[Tensor], Tensor]) -> Tensor:
    """Return abs(a dL/da) (B, ..., C) of an activity, from a graph of our own."""
    activity = activity.detach().requires_grad_()
    loss = F.cross_entropy(model[3](rest(activity)), LABELS, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, activity)
    return (activity * gradient).detach().abs().movedim(1, -1).double()


def test_importance_of_a_written_feature_is_its_input_times_its_gradient() -> None:
    model = network().eval()
    activity = model[1](model[0](images()))
    expected = used(model, activity, lambda a: model[2](a)).flatten(0, 2).mean(0)
    torch.testing.assert_close(captured(model).projections[1].importance, expected)


def test_importance_of_a_read_feature_is_its_raw_output_times_its_gradient() -> None:
    model = network().eval()
    activity = model[1][0](model[0](images()))
    expected = used(model, activity, lambda a: model[2](model[1][1](a).relu())).flatten(0, 2).mean(0)
    torch.testing.assert_close(captured(model).projections[0].importance, expected)


def test_scale_of_a_norm_s_statistics_does_not_change_the_importance_of_what_is_read() -> None:
    model, scale = network(), torch.logspace(-1, 1, 12)
    before = captured(model).projections[0].importance
    model[1][0].weight.data *= scale.view(-1, 1, 1, 1)
    model[1][0].bias.data *= scale
    model[1][1].running_var *= scale**2
    torch.testing.assert_close(captured(model).projections[0].importance, before, rtol=1e-3, atol=1e-9)


def test_profile_of_a_block_is_the_mean_over_an_image_s_positions() -> None:
    model = network().eval()
    activity = model[2](model[1](model[0](images())))
    expected = used(model, activity, lambda a: a).flatten(1, 2).mean(1)
    torch.testing.assert_close(captured(model).blocks[1].profiles, expected)


def test_strided_projection_is_used_where_it_reads() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 1, stride=2), nn.ReLU(), network()[3])
    activity = model[0](images()).detach()
    activity.requires_grad_()
    loss = F.cross_entropy(model[3](model[2](model[1](activity))), LABELS, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, activity)
    read = (activity * gradient).detach().abs()[:, :, ::2, ::2].movedim(1, -1).double().flatten(0, 2)
    importance = capture(model, images(), LABELS).projections[0].importance
    torch.testing.assert_close(importance, read.mean(0))


def test_labels_do_not_change_what_the_forward_pass_shows() -> None:
    model = network()
    with_labels, without = captured(model), capture(model, images(), blocks=["1", "2"])
    for one, other in zip(with_labels.projections, without.projections, strict=True):
        assert one.weight.equal(other.weight)
        assert one.inputs.equal(other.inputs)
    assert [p.importance for p in without.projections] == [b.profiles for b in without.blocks] == [None, None]


def test_network_is_left_as_it_was() -> None:
    model = network().train()
    model[1][0].weight.requires_grad_(False)
    F.cross_entropy(model(images()), LABELS).backward()
    needed = [p.requires_grad for p in model.parameters()]
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    captured(model)
    assert all(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert [p.requires_grad for p in model.parameters()] == needed
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert parameter.grad is gradient is None or torch.equal(parameter.grad, gradient)


def test_parameters_without_a_gradient_get_none() -> None:
    model = network()
    captured(model)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_network_is_left_as_it_was_after_an_error() -> None:
    model = network().train()
    with pytest.raises(InputError, match="classes 0 to 4, got 5"):
        captured(model, LABELS + 1)
    assert all(module.training for module in model.modules())
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_mode_of_the_caller_changes_nothing(mode: Callable[[], AbstractContextManager[None]]) -> None:
    model = network()
    outside = captured(model).projections[0].importance
    with mode():
        inside = capture(model, images(), LABELS.clone(), blocks=["1", "2"]).projections[0].importance
    assert outside is not None
    assert inside is not None
    assert inside.equal(outside)


def test_network_made_in_inference_mode_is_measured() -> None:
    with torch.inference_mode():
        found = captured(network())
    assert all(projection.importance is not None for projection in found.projections)


@pytest.mark.parametrize("given", [None, LABELS])
def test_images_that_the_network_overwrites_are_not_the_caller_s(given: Tensor | None) -> None:
    batch = images()
    capture(network(Doubled()), batch, given)
    assert batch.equal(images())
    assert not batch.requires_grad


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:7], r"labels: expected 8, one for each image, got shape \(7,\)"),
        (LABELS.view(8, 1), r"got shape \(8, 1\)"),
        (LABELS.float(), "labels: expected integers"),
        (LABELS - 1, "labels: the network has classes 0 to 4, got -1"),
        (LABELS + 1, "labels: the network has classes 0 to 4, got 5"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        captured(network(), labels)


@pytest.mark.parametrize("end", [nn.Conv2d(4, 5, 3), nn.Sequential(*network()[3], nn.Unflatten(1, (5, 1)))])
def test_network_without_logits_shows_the_forward_pass_alone(end: nn.Module) -> None:
    model = network()
    model[3] = end
    found = captured(model)
    assert found.logits is None
    assert [p.importance for p in found.projections] == [None, None]


def test_features_behind_a_cut_have_no_importance() -> None:
    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach()

    model = network()
    model[2] = nn.Sequential(Cut(), *model[2])
    assert [p.importance for p in captured(model).projections] == [None, None]


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8])
def test_any_integers_are_labels(kind: torch.dtype) -> None:
    model = network()
    narrow, wide = captured(model, LABELS.to(kind)), captured(model)
    torch.testing.assert_close(narrow.blocks[0].profiles, wide.blocks[0].profiles)
