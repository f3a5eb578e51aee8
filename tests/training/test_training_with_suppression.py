"""Trainings with suppression: what it does to a network, what it leaves alone, and on several ranks."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nas.architecture import Architecture, Stage, Stem
from nas.blocks import Block
from nas.data.images import Dataset
from nas.interference import measure, suppression
from nas.interference.suppression import Suppressor
from nas.network.build import Network, build
from nas.records import Fidelity, Plan, Recipe, Suppression
from nas.training.loop import Normaliser, Training, train
from tests.training.conftest import DIGITS

FOUR = Fidelity(epochs=4, resolution=8)


def network_of(family: str, expansion: float = 4, seed: int = 0) -> Network:
    blocks = (Block(family=family, expansion=expansion), Block(family=family, expansion=expansion))
    design = Architecture(stem=Stem(width=8, stride=1), stages=(Stage(width=8, stride=2, blocks=blocks),))
    return build(design, DIGITS, seed=seed)


def fit(
    data: Dataset, how: Suppression | None, fidelity: Fidelity = FOUR, family: str = "inverted", **more: object
) -> Training:
    recipe = Recipe(batch_size=16, learning_rate=8e-3, suppression=how)
    given: dict[str, object] = {"plan": Plan(), "seed": 0} | more
    return train(network_of(family), data, recipe, fidelity, **given)


def state(training: Training) -> dict[str, Tensor]:
    return training.network.state_dict()


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Compare to the bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("how", [Suppression(strength=3), Suppression(strength=3, interference="full")])
def test_suppression_lowers_what_is_measured_afterwards(few: Dataset, how: Suppression) -> None:
    images, labels = Normaliser(few.mean, few.std)(few.train.pixels), few.train.labels

    def above_the_floor(how: Suppression | None) -> float:
        network = fit(few, how).network
        report = measure(network, images, labels)
        narrow = [p for p in report.projections if p.out_features < p.in_features]
        assert len(narrow) == 2
        return sum(p.importance_weighted - p.packing_floor for p in narrow) / 2

    assert above_the_floor(how) < 0.85 * above_the_floor(None)


def test_the_report_of_a_training(few: Dataset) -> None:
    report = fit(few, Suppression(strength=5)).suppression
    assert report.strength == 5
    assert report.excess_after < 0.7 * report.excess_before
    assert report.excess_after == pytest.approx(report.excess_suppressed, abs=0.02)
    assert (report.projections, report.switched_off) == (2, 0)


def test_a_target_within_reach_is_reached(digits: Dataset) -> None:
    free = fit(digits, Suppression(strength=1e-9), Fidelity(epochs=2, resolution=8)).suppression
    target = free.excess_suppressed / 2
    held = fit(digits, Suppression(target=target), Fidelity(epochs=2, resolution=8)).suppression
    assert held.excess_suppressed == pytest.approx(target, rel=0.3)


def test_the_same_arguments_give_the_same_bits(few: Dataset) -> None:
    first, second = (fit(few, Suppression(target=0.01)) for _ in range(2))
    assert same(state(first), state(second))
    assert first.suppression == second.suppression


def test_to_look_changes_no_bit(few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = fit(few, None)
    assert plain.suppression is None
    assert not same(state(plain), state(fit(few, Suppression())))
    monkeypatch.setattr(suppression, "ramp", lambda *_: 0.0)
    looked = fit(few, Suppression(layers="all", interference="full"))
    assert looked.suppression.projections == 4
    assert same(state(plain), state(looked))


def test_a_network_with_nothing_to_act_on_trains_as_without(few: Dataset) -> None:
    plain, asked = fit(few, None, family="residual"), fit(few, Suppression(), family="residual")
    assert asked.suppression is None
    assert same(state(plain), state(asked))


@pytest.mark.parametrize(
    "plan", [Plan(precision="bfloat16"), Plan(channels_last=True), Plan(precision="bfloat16", channels_last=True)]
)
def test_every_plan_suppresses(few: Dataset, plan: Plan) -> None:
    report = fit(few, Suppression(strength=5), plan=plan).suppression
    exact = fit(few, Suppression(strength=5)).suppression
    assert report.excess_before == pytest.approx(exact.excess_before, rel=0.05)
    assert report.excess_after < 0.7 * report.excess_before


def test_averaged_weights_are_suppressed_too(few: Dataset) -> None:
    recipe = Recipe(batch_size=16, ema_decay=0.8, suppression=Suppression())
    network = network_of("inverted")
    training = train(network, few, recipe, FOUR, Plan(), seed=0)
    assert training.network is not network
    assert training.suppression.projections == 2


def test_a_divergence_is_still_one(few: Dataset) -> None:
    network = network_of("inverted")
    with torch.no_grad():
        network.stem[0].weight[0] = math.nan
    recipe = Recipe(batch_size=16, suppression=Suppression(target=0.1))
    training = train(network, few, recipe, FOUR, Plan(), seed=0)
    assert training.diverged
    assert training.suppression is None


def test_no_hook_stays_on_the_network(few: Dataset) -> None:
    network = network_of("inverted")

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    recipe = Recipe(batch_size=16, suppression=Suppression())
    with pytest.raises(KeyboardInterrupt):
        train(network, few, recipe, FOUR, Plan(), seed=0, on_epoch=interrupt)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


STEPS, JOINT = 10, 16


def ranked_network(norm: Callable[[int], nn.Module]) -> nn.Sequential:
    """Return a network whose loss is, but for batch-norms, the mean over its images."""
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 4, 1), norm(4), nn.Conv2d(4, 12, 1), nn.ReLU()]
    return nn.Sequential(*body, nn.Conv2d(12, 4, 1), nn.Flatten(), nn.LazyLinear(3))


def train_ranked(network: nn.Module, how: Suppression, part: slice) -> dict[str, Tensor]:
    """Return the weights, and the suppressor's state, after some steps on a part of each batch."""
    suppressor = Suppressor(network, how, steps=STEPS, seed=0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        images = torch.randn(JOINT, 1, 8, 8, generator=generator)
        labels = images.mean((1, 2, 3)).mul(20).round().clamp(-1, 1).long() + 1
        with suppressor.watching():
            nn.functional.cross_entropy(network(images[part]), labels[part]).backward()
        suppressor.step()
        optimizer.step()
        optimizer.zero_grad()
    kept = {name.removeprefix("module."): tensor.clone() for name, tensor in network.state_dict().items()}
    for name, each in suppressor._states.items():
        kept |= {f"{name.removeprefix('module.')}.{what}": getattr(each, what).clone() for what in ("shares", "scales")}
        kept[f"{name.removeprefix('module.')}.activity"] = (
            each.covariance if how.interference == "full" else each.variance
        )
    report = suppressor.report()
    return kept | {"report": torch.tensor([report.strength, report.excess_after])}


HOWS = {
    "fixed": Suppression(strength=2.0, layers="all"),
    "steered": Suppression(target=0.02, interference="full"),
}


def one_rank(rank: int, folder: str) -> None:
    """Train on this rank's half of every batch, and write what came out."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    half = slice(rank * JOINT // 2, (rank + 1) * JOINT // 2)
    for name, how in HOWS.items():
        for norm in (nn.Identity, nn.BatchNorm2d):
            network = ranked_network(norm)
            network(torch.zeros(2, 1, 8, 8))
            kept = train_ranked(DistributedDataParallel(network), how, half)
            save_file(kept, Path(folder) / f"{name}-{norm.__name__}-{rank}.safetensors")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], dict[str, Tensor]]:
    """Train in two processes, once, and give what a rank had at the end."""
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(one_rank, args=(str(folder),), nprocs=2)
    return lambda name, rank: load_file(folder / f"{name}-{rank}.safetensors")


@pytest.mark.parametrize("how", HOWS)
def test_ranks_have_the_same_bits(ranked: Callable[[str, int], dict[str, Tensor]], how: str) -> None:
    assert same(ranked(f"{how}-Identity", 0), ranked(f"{how}-Identity", 1))
    first, second = (ranked(f"{how}-BatchNorm2d", rank) for rank in range(2))
    # Each rank has running statistics of its own, and folds in those of all.
    own = {name for name in first if "running" in name}
    assert own
    assert same(*({name: t for name, t in each.items() if name not in own} for each in (first, second)))


@pytest.mark.parametrize("how", HOWS)
def test_ranks_together_train_as_one_process_does(ranked: Callable[[str, int], dict[str, Tensor]], how: str) -> None:
    network = ranked_network(nn.Identity)
    network(torch.zeros(2, 1, 8, 8))
    alone, together = train_ranked(network, HOWS[how], slice(None)), ranked(f"{how}-Identity", 0)
    assert alone.keys() == together.keys()
    for name, tensor in alone.items():
        assert torch.allclose(tensor, together[name], rtol=1e-3, atol=1e-5), name
    start = ranked_network(nn.Identity)
    assert not torch.equal(start[2].weight, alone["2.weight"])
