"""What holds for all zero-cost scores: nothing is changed, order does not matter, every network has its scores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from nas.architecture import Architecture, Stage, Stem
from nas.blocks import FAMILIES, Block
from nas.errors import InputError
from nas.layers import ACTIVATIONS, NORMS
from nas.network.build import Network, build
from nas.network.foreign import build_foreign
from nas.proxies import MOST_IMAGES, SCORES, zero_cost_scores
from tests.core.examples import TASK, architecture, block

NAMES = {"synflow", "naswot", "grad_norm", "zen", "swap", "expressivity"}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small only lose time to threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _batch(images: int = 8, side: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(images, 3, side, side, generator=generator), torch.arange(images) % 10


def _network(genes: Block | None = None) -> Network:
    genes = block("inverted", expansion=2, se_ratio=0.25) if genes is None else genes
    return build(architecture(genes, genes, width=12, stride=2), TASK)


def _scores(network: nn.Module) -> dict[str, float]:
    return zero_cost_scores(network, *_batch())


def _state(network: nn.Module) -> list[object]:
    """Return everything of a network that a score might touch."""
    modules = list(network.modules())
    return [
        {name: tensor.clone() for name, tensor in network.state_dict().items()},
        [id(parameter) for parameter in network.parameters()],
        [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in network.parameters()],
        [module.training for module in modules],
        [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in modules],
        [sorted(vars(module)) for module in modules],
        torch.get_rng_state(),
    ]


def _same(first: object, second: object) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(_same, first, second))
    return first == second


def test_the_scores_have_the_names_that_records_hold() -> None:
    assert set(SCORES) == NAMES
    assert set(_scores(_network())) == NAMES


@pytest.mark.parametrize("training", [True, False])
def test_a_network_is_left_as_it_was(training: bool) -> None:
    network = _network().train(training)
    network.stages[0].eval()
    next(network.parameters()).grad = torch.ones_like(next(network.parameters()))
    list(network.parameters())[-1].requires_grad_(False)
    before = _state(network)
    _scores(network)
    assert _same(before, _state(network))


def test_dropout_draws_nothing_from_a_global_generator() -> None:
    network = build_foreign("torchvision", "mobilenet_v3_small", 10).train()
    before = _state(network)
    first, second = _scores(network), _scores(network)
    assert first == second
    assert _same(before, _state(network))


class _Failing(nn.Module):
    def forward(self, _: Tensor) -> Tensor:
        raise ValueError("cannot")


@pytest.mark.parametrize(("labels", "fails"), [([0, 10], False), ([0, 1], True)])
def test_a_network_is_left_as_it_was_after_an_error(labels: list[int], fails: bool) -> None:
    network = _network()
    if fails:
        network.head.append(_Failing())
    before = _state(network)
    with pytest.raises(ValueError if fails else InputError):
        zero_cost_scores(network, _batch(2)[0], torch.tensor(labels))
    assert _same(before, _state(network))


def test_the_same_network_and_seed_give_the_same_scores() -> None:
    assert _scores(_network()) == _scores(_network())


def test_only_zen_is_drawn_from_the_seed() -> None:
    network = _network()
    first, second = (zero_cost_scores(network, *_batch(), seed=seed) for seed in (0, 1))
    assert {name for name in NAMES if first[name] != second[name]} == {"zen"}


def test_the_mode_of_the_caller_does_not_matter() -> None:
    network = _network()
    expected = _scores(network)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        made_inside = _network()
        assert _scores(network) == expected
        assert _scores(made_inside) == expected


def test_the_order_of_images_does_not_matter() -> None:
    images, labels = _batch()
    network, order = _network(), torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    expected = zero_cost_scores(network, images, labels)
    assert zero_cost_scores(network, images[order], labels[order]) == pytest.approx(expected, rel=1e-4)


def test_the_scale_of_images_does_not_matter_to_patterns_and_spectra() -> None:
    images, labels = _batch()
    network = _network()
    first, second = (zero_cost_scores(network, scale * images, labels) for scale in (1, 8))
    for name in ("naswot", "swap", "expressivity"):
        assert second[name] == pytest.approx(first[name], rel=1e-3)


def test_images_beyond_the_first_few_are_not_looked_at() -> None:
    images, labels = _batch(MOST_IMAGES + 8)
    network = _network()
    first = zero_cost_scores(network, images, labels)
    assert first == zero_cost_scores(network, images[:MOST_IMAGES], labels[:MOST_IMAGES])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_block_family_has_every_score(family: str, norm: str) -> None:
    assert set(_scores(_network(block(family, expansion=2, norm=norm)))) == NAMES


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_every_score_but_the_identity_no_patterns(activation: str) -> None:
    stage = Stage(width=12, blocks=(block("inverted", expansion=2, activation=activation),))
    design = Architecture(stem=Stem(width=8, activation=activation), stages=(stage,))
    scores = _scores(build(design, TASK))
    assert NAMES - set(scores) == ({"naswot", "swap"} if activation == "identity" else set())


@pytest.mark.parametrize("family", ["inverted", "residual", "convnext", "nodepth", "former"])
def test_zen_cuts_residual_links(family: str) -> None:
    genes = block(family, expansion=2)
    kept, cut = (build(architecture(g, g), TASK) for g in (genes, genes.model_copy(update={"skip": False})))
    assert _scores(kept)["zen"] == _scores(cut)["zen"]


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("timm", "mobilenetv4_conv_small_050"),
        ("timm", "mobilevit_xxs"),
        ("timm", "convnext_atto"),
        ("timm", "resnet10t"),
        ("torchvision", "mobilenet_v3_small"),
        ("torchvision", "shufflenet_v2_x0_5"),
        ("torchvision", "squeezenet1_1"),
    ],
)
def test_networks_of_other_libraries_have_every_score(library: str, name: str) -> None:
    assert set(zero_cost_scores(build_foreign(library, name, 10), *_batch(8, 64))) == NAMES


def test_a_network_that_runs_in_single_precision_alone_has_no_synflow() -> None:
    class _Single(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ torch.eye(x.shape[-1])

    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), _Single(), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10))
    assert set(_scores(network)) == NAMES - {"synflow", "expressivity"}


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (torch.zeros(2, 3, 16), torch.zeros(2, dtype=torch.int64), "images"),
        (torch.zeros(1, 3, 16, 16), torch.zeros(1, dtype=torch.int64), "at least 2"),
        (torch.zeros(2, 3, 16, 16, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), "float"),
        (torch.zeros(2, 3, 16, 16), torch.zeros(3, dtype=torch.int64), "labels"),
        (torch.zeros(2, 3, 16, 16), torch.zeros(2), "labels"),
    ],
)
def test_a_batch_that_is_none_is_refused(images: Tensor, labels: Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        zero_cost_scores(_network(), images, labels)


@pytest.mark.gpu
def test_a_network_on_a_gpu_has_nearly_the_same_scores() -> None:
    network = _network()
    expected = _scores(network)
    assert _scores(network.cuda()) == pytest.approx(expected, rel=1e-2)
