"""The training loop: deterministic, annealed, honest about divergence, and without side effects."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.architecture import Architecture, Stage, Stem
from nas.blocks import Block
from nas.data.augment import Normaliser
from nas.data.images import Dataset, Images
from nas.data.split import subset
from nas.network.build import build
from nas.network.modules import Branches
from nas.records import Epoch, Fidelity, Plan, Recipe
from nas.training import feed, loop
from nas.training.loop import Progress, Training, evaluate, moving_average, train
from nas.training.optimizers import learning_rate_factor, make_optimizer
from nas.training.step import Step
from tests.training.conftest import DIGITS, Build

ONE, THREE = (Fidelity(epochs=epochs, resolution=8) for epochs in (1, 3))
RECIPE = Recipe(batch_size=16, learning_rate=4e-3, crop_padding=1, cutout=2, mirror=True)
PLAN = Plan()


def fit(
    network: nn.Module, data: Dataset, recipe: Recipe = RECIPE, fidelity: Fidelity = ONE, **more: object
) -> Training:
    return train(network, data, recipe, fidelity, **{"plan": PLAN, "seed": 0} | more)


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Compare to the bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def losses(training: Training) -> list[tuple[float, float | None]]:
    return [(epoch.train_loss, epoch.val_loss) for epoch in training.epochs]


class _Probe(nn.Module):
    """A linear classifier that keeps the shapes and the classes of what it is trained on."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.linear = nn.Linear(side * side, 10)
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        if self.training:
            self.shapes.append(tuple(x.shape))
        return self.linear(x.flatten(1))


def test_the_same_arguments_give_the_same_bits(few: Dataset, make: Build) -> None:
    first, second = (fit(make(), few, fidelity=THREE) for _ in range(2))
    assert losses(first) == losses(second)
    assert same(weights(first.network), weights(second.network))


def test_the_global_generator_has_no_say(few: Dataset, make: Build) -> None:
    first = fit(make(), few)
    torch.rand(100)
    assert losses(fit(make(), few)) == losses(first)


@pytest.mark.parametrize("change", ["order", "weights"])
def test_another_seed_gives_other_bits(few: Dataset, make: Build, change: str) -> None:
    other = fit(make(seed=int(change == "weights")), few, seed=int(change == "order"))
    assert losses(other) != losses(fit(make(), few))


def test_threads_and_generators_are_as_before(few: Dataset, make: Build) -> None:
    torch.rand(1)  # so that the generator does not stand where a training would put it
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_num_threads())
    fit(make(), few, plan=Plan(threads=3))
    after = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_num_threads())
    assert torch.equal(states[0], after[0])
    assert states[1:] == after[1:]


def test_threads_and_generators_are_as_before_an_interruption(few: Dataset, make: Build) -> None:
    torch.rand(1)
    state, threads = torch.get_rng_state(), torch.get_num_threads()

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(make(), few, plan=Plan(threads=3), on_epoch=interrupt)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_training_on_the_cpu_reseeds_no_gpu(few: Dataset, make: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.manual_seed_all", lambda _: pytest.fail("reseeded"))
    assert not fit(make(), few).diverged


def test_a_training_runs_with_the_threads_of_its_plan(few: Dataset, make: Build) -> None:
    seen = []
    fit(make(), few, plan=Plan(threads=2), on_epoch=lambda _: seen.append(torch.get_num_threads()))
    assert seen == [2]


def test_the_loss_falls_on_digits(digits: Dataset) -> None:
    stage = Stage(width=24, stride=2, blocks=(Block(family="residual"),))
    network = build(Architecture(stem=Stem(width=8, stride=1), stages=(stage,)), DIGITS)
    training = fit(network, digits, Recipe(batch_size=32), THREE)
    first, second, third = (epoch.train_loss for epoch in training.epochs)
    assert first > second > third
    assert training.epochs[-1].val_accuracy > 0.8


def test_only_the_last_epoch_is_validated_unless_asked(few: Dataset, make: Build) -> None:
    def validated(every: int | None) -> list[bool]:
        training = fit(make(), few, fidelity=Fidelity(epochs=5, resolution=8), evaluate_every=every)
        return [epoch.val_accuracy is not None for epoch in training.epochs]

    assert validated(None) == [False] * 4 + [True]
    assert validated(2) == [False, True, False, True, True]


def test_listeners_hear_of_every_epoch(few: Dataset, make: Build) -> None:
    heard = list[Progress]()
    training = fit(make(), few, fidelity=THREE, on_epoch=heard.append)
    assert [(progress.epoch, progress.epochs) for progress in heard] == [(1, 3), (2, 3), (3, 3)]
    assert tuple(progress.last for progress in heard) == training.epochs
    assert all(progress.images_per_second > 0 for progress in heard)


@given(st.integers(1, 500), st.floats(0, 0.99))
def test_the_learning_rate_rises_once_and_falls_to_zero(steps: int, warmup_fraction: float) -> None:
    rates = [learning_rate_factor(step, steps, warmup_fraction) for step in range(steps + 1)]
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert (max(rates), rates[-1]) == (1, 0)
    assert all(rate > 0 for rate in rates[:-1])


def test_the_learning_rate_warms_up_in_equal_steps() -> None:
    rates = [learning_rate_factor(step, 20, 0.2) for step in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 15 / 16]


@pytest.mark.parametrize("epochs", [1, 4])
def test_every_training_ends_annealed(few: Dataset, make: Build, monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    made = list[Step]()
    monkeypatch.setattr(loop, "Step", lambda *given, **more: made.append(Step(*given, **more)) or made[-1])
    fit(make(), few, fidelity=Fidelity(epochs=epochs, resolution=8))
    rates = made[0].rates
    assert len(rates) == 10 * epochs
    assert 0 < rates[-1] <= rates.max() / 8


def test_the_moving_average_of_the_loss_is_that_of_its_definition() -> None:
    losses = np.random.default_rng(0).uniform(1, 3, 40)
    decay, mean, weight = math.exp(-1 / (len(losses) / 4)), 0.0, 0.0
    for loss in losses:
        mean, weight = decay * mean + (1 - decay) * loss, decay * weight + (1 - decay)
    assert moving_average(torch.tensor(losses)) == pytest.approx(mean / weight)


@pytest.mark.parametrize("steps", [1, 7])
def test_the_moving_average_of_a_constant_loss_is_that(steps: int) -> None:
    assert moving_average(torch.full((steps,), 1.5)) == pytest.approx(1.5)


def test_the_loss_of_every_step_is_kept(few: Dataset, make: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[Step]()
    monkeypatch.setattr(loop, "Step", lambda *given, **more: made.append(Step(*given, **more)) or made[-1])
    training = fit(make(), few, fidelity=THREE)
    means = [losses.mean().item() for losses in made[0].losses.split(10)]
    assert means == [epoch.train_loss for epoch in training.epochs]
    assert training.train_loss_ema == moving_average(made[0].losses)


def test_a_weight_that_is_not_a_number_diverges(few: Dataset, make: Build) -> None:
    network, heard = make(), []
    with torch.no_grad():
        network.head.classifier.weight[0, 0] = math.nan
    training = fit(network, few, on_epoch=heard.append)
    assert training.diverged
    assert (training.epochs, heard) == ((), [])


@pytest.mark.parametrize("recipe", [Recipe(optimizer="sgd", learning_rate=1e30), Recipe(learning_rate=1e38)])
def test_a_learning_rate_beyond_reason_diverges(few: Dataset, make: Build, recipe: Recipe) -> None:
    assert fit(make(), few, recipe.model_copy(update={"batch_size": 16})).diverged


def test_a_divergence_keeps_the_epochs_before_it(few: Dataset, make: Build) -> None:
    network = make()

    def spoil(progress: Progress) -> None:
        if progress.epoch == 2:
            network.head.classifier.weight.data.fill_(math.inf)

    training = fit(network, few, fidelity=Fidelity(epochs=5, resolution=8), on_epoch=spoil)
    assert training.diverged
    assert len(training.epochs) == 2


def test_a_long_epoch_is_not_finished_after_a_divergence(few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STEPS_BETWEEN_CHECKS", 3)
    probe = _Probe(8)
    torch.nn.init.constant_(probe.linear.bias, math.nan)
    assert fit(probe, few).diverged
    assert len(probe.shapes) == 3


def test_a_validation_loss_that_is_not_finite_is_a_divergence(few: Dataset) -> None:
    class Blind(_Probe):
        """Knows nothing of images that it was not trained on."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if self.training else super().forward(x) * math.nan

    assert fit(Blind(8), few).diverged


def test_averaged_weights_are_what_is_evaluated(few: Dataset, make: Build) -> None:
    network = make()
    training = fit(network, few, RECIPE.model_copy(update={"ema_decay": 0.5}), THREE)
    assert not same(weights(training.network), weights(network))
    images, normaliser = few.validation, Normaliser(few.mean, few.std)
    assert evaluate(training.network, images, normaliser, PLAN)[1] == training.epochs[-1].val_accuracy


def test_averaged_weights_follow_the_decay(few: Dataset) -> None:
    steps = list[Tensor]()

    class Recorded(_Probe):
        """Keeps its bias as it was before every step."""

        def forward(self, x: Tensor) -> Tensor:
            steps.append(self.linear.bias.detach().clone())
            return super().forward(x)

    probe = Recorded(8)
    recipe = Recipe(batch_size=80, ema_decay=0.75)
    training = fit(probe, few, recipe)
    _, after_one = steps[:2]
    expected = 0.75 * after_one + 0.25 * probe.linear.bias  # the average starts at the first step's weights
    assert torch.allclose(training.network.linear.bias, expected)


def test_without_an_average_the_trained_network_is_evaluated(few: Dataset, make: Build) -> None:
    network = make()
    assert fit(network, few).network is network


@pytest.mark.parametrize(("fraction", "batches"), [(1.0, 10), (0.5, 5), (0.25, 2), (0.01, 1)])
def test_a_part_of_the_train_split_is_trained_on(few: Dataset, fraction: float, batches: int) -> None:
    probe = _Probe(8)
    fit(probe, few, fidelity=Fidelity(epochs=1, train_fraction=fraction, resolution=8))
    assert len(probe.shapes) == batches
    assert {shape[0] for shape in probe.shapes} == {min(16, len(subset(few.train, fraction)))}


def test_all_trainings_at_a_fidelity_see_the_same_images(few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = list[Images]()
    monkeypatch.setattr(feed, "subset", lambda *given, **more: parts.append(subset(*given, **more)) or parts[-1])
    for seed in (1, 2):
        fit(_Probe(8), few, fidelity=Fidelity(epochs=1, train_fraction=0.25, resolution=8), seed=seed)
    train, validation, *again = (part.pixels for part in parts)
    assert torch.equal(train, again[0])
    assert torch.equal(validation, again[1])


@pytest.mark.parametrize("side", [4, 8, 12])
def test_images_have_the_resolution_of_the_fidelity(few: Dataset, side: int) -> None:
    probe = _Probe(side)
    training = fit(probe, few, fidelity=Fidelity(epochs=1, resolution=side))
    assert {shape[1:] for shape in probe.shapes} == {(1, side, side)}
    assert training.epochs[0].val_accuracy is not None


def test_the_train_split_is_trained_on_and_the_validation_split_is_not(few: Dataset, make: Build) -> None:
    noise = replace(few, validation=Images(255 - few.validation.pixels, few.validation.labels))
    first, second = fit(make(), few), fit(make(), noise)
    assert same(weights(first.network), weights(second.network))
    assert first.epochs[0].val_loss != second.epochs[0].val_loss


@pytest.mark.parametrize(
    "plan", [Plan(precision="bfloat16"), Plan(channels_last=True), Plan(precision="bfloat16", channels_last=True)]
)
def test_every_plan_trains(few: Dataset, make: Build, plan: Plan) -> None:
    training = fit(make(), few, plan=plan)
    assert not training.diverged
    assert training.epochs[0].train_loss == pytest.approx(fit(make(), few).epochs[0].train_loss, rel=0.05)


class _Fixed(nn.Module):
    """Says of every image the class that its first pixel names, with a certain confidence."""

    def __init__(self, confidence: float) -> None:
        super().__init__()
        self.confidence = confidence

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of four classes."""
        named = (255 * x[:, 0, 0, 0]).round().long()
        return self.confidence * nn.functional.one_hot(named, 4).float()


def named_images(named: list[int], labels: list[int]) -> Images:
    pixels = torch.tensor(named, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    return Images(pixels, torch.tensor(labels))


@pytest.mark.parametrize("batch", [1, 3, 512])
def test_loss_and_accuracy_of_a_known_network(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(loop, "EVALUATION_BATCH", batch)
    images = named_images([0, 1, 2, 3, 0], [0, 1, 2, 0, 3])
    loss, accuracy = evaluate(_Fixed(2.0), images, Normaliser((0.0,), (1.0,)), PLAN)
    total = math.log(math.exp(2) + 3)
    assert accuracy == 3 / 5
    assert loss == pytest.approx((3 * (total - 2) + 2 * total) / 5)


@pytest.mark.parametrize("is_training", [True, False])
def test_an_evaluation_leaves_the_network_as_it_was(few: Dataset, make: Build, is_training: bool) -> None:
    network = make().train(is_training)
    before = weights(network)
    evaluate(network, few.validation, Normaliser(few.mean, few.std), PLAN)
    assert network.training is is_training
    assert same(before, weights(network))


def test_images_are_normalised_with_the_moments_of_train(few: Dataset) -> None:
    images = Normaliser(few.mean, few.std)(few.train.pixels)
    assert images.mean().item() == pytest.approx(0, abs=1e-4)
    assert images.std().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.25), ("adamw", 0.5)])
def test_the_learning_rate_follows_the_batch_size(make: Build, optimizer: str, rate: float) -> None:
    made = make_optimizer(make(), Recipe(optimizer=optimizer, learning_rate=1.0, batch_size=32))
    assert {group["lr"] for group in made.param_groups} == {rate}


def test_norms_and_biases_do_not_decay(make: Build) -> None:
    network = make()
    decayed, free = make_optimizer(network, Recipe(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0)
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in free["params"]} == {1}
    assert len(decayed["params"]) + len(free["params"]) == len(list(network.parameters()))


def test_an_epoch_takes_its_time(few: Dataset, make: Build) -> None:
    training = fit(make(), few, fidelity=THREE)
    assert all(isinstance(epoch, Epoch) and epoch.seconds > 0 for epoch in training.epochs)
    assert training.seconds >= sum(epoch.seconds for epoch in training.epochs)


def test_stochastic_depth_is_the_recipe_s_and_changes_the_training(few: Dataset) -> None:
    blocks = (Block(family="inverted", expansion=2),) * 3
    design = Architecture(stem=Stem(width=8, stride=1), stages=(Stage(width=8, blocks=blocks),))

    def trained(rate: float) -> nn.Module:
        return fit(build(design, DIGITS, seed=0), few, RECIPE.model_copy(update={"drop_path": rate})).network

    dropping = trained(0.4)
    assert [part.drop_path for part in dropping.modules() if isinstance(part, Branches)] == [0.0, 0.2, 0.4]
    assert not same(weights(dropping), weights(trained(0.0)))
