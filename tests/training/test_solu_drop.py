"""The SoLU twin of a network, and what it loses: by hand, and by training both for an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import nn

from nas.architecture import Architecture, Head, Stage, Stem
from nas.blocks import Block
from nas.data.images import Dataset
from nas.errors import InputError
from nas.network.build import build
from nas.network.modules import SoLU
from nas.records import Fidelity, Plan, Recipe
from nas.training import probe
from nas.training.loop import train
from nas.training.probe import SoluDrop, Trained, solu_drop, solu_twin
from tests.training.conftest import DIGITS

RECIPE = Recipe(batch_size=32)
ONE_EPOCH = Fidelity(epochs=1, resolution=8)


def drop_of(accuracies: Sequence[float | None], twins: Sequence[float | None], small: Architecture) -> SoluDrop:
    """Return the outcome with these accuracies; all trainings learned something."""
    seeds = tuple(range(len(accuracies)))
    losses = (1.0,) * len(seeds)
    return SoluDrop(solu_twin(small), 100, 164, seeds, tuple(accuracies), tuple(twins), losses, losses, num_classes=10)


def test_the_twin_has_no_other_activation(small: Architecture) -> None:
    head = Head(width=12, activation="hardswish", map_activation="relu")
    network = build(solu_twin(small.model_copy(update={"head": head})), DIGITS)
    kinds = {type(module) for module in network.modules()}
    assert SoLU in kinds
    assert not kinds & {nn.ReLU, nn.Hardswish}


def test_what_is_linear_stays_linear(small: Architecture) -> None:
    linear = Stage(width=16, blocks=(Block(family="separable", activation="identity"),))
    twin = solu_twin(Architecture(stem=Stem(width=8, stride=1), stages=(*small.stages, linear)))
    assert [stage.blocks[0].activation for stage in twin.stages] == ["solu", "identity"]
    assert twin.head == Head()


def test_a_seed_gives_both_the_same_weights(small: Architecture) -> None:
    own, twin = (build(each, DIGITS, seed=3).state_dict() for each in (small, solu_twin(small)))
    assert len(twin) > len(own)
    assert all(torch.equal(own[name], twin[name]) for name in own)


@pytest.mark.parametrize("activation", ["solu", "identity"])
def test_a_network_without_another_activation_has_no_twin(activation: str) -> None:
    stage = Stage(width=8, blocks=(Block(family="separable", activation=activation),))
    with pytest.raises(InputError, match="no activation but solu"):
        solu_twin(Architecture(stem=Stem(width=8, activation=activation), stages=(stage,)))


def test_the_drop_is_the_mean_over_seeds_with_students_interval(small: Architecture) -> None:
    found = drop_of((0.9, 0.8, 0.7), (0.8, 0.6, 0.6), small)
    assert found.drops == pytest.approx((0.1, 0.2, 0.1))
    assert found.mean == pytest.approx(0.4 / 3)
    assert found.std == pytest.approx(0.1 / 3**0.5)
    half = 4.302653 * (0.1 / 3**0.5) / 3**0.5  # the 97.5 % quantile of t with two degrees of freedom
    assert found.interval == pytest.approx((0.4 / 3 - half, 0.4 / 3 + half), rel=1e-6)


def test_one_seed_has_no_spread(small: Architecture) -> None:
    found = drop_of((0.9,), (0.8,), small)
    assert found.mean == pytest.approx(0.1)
    assert (found.std, found.interval) == (None, None)


def test_a_seed_of_which_a_training_diverged_counts_in_no_drop(small: Architecture) -> None:
    found = drop_of((0.9, None, 0.7), (0.8, 0.6, None), small)
    assert found.drops == (pytest.approx(0.1), None, None)
    assert (found.mean, found.std) == (pytest.approx(0.1), None)
    assert drop_of((None,), (0.5,), small).mean is None


def test_a_training_that_stays_at_guessing_is_told_from_one_that_learned(small: Architecture) -> None:
    found = replace(
        drop_of((0.9, 0.9, 0.9, None), (0.1, 0.5, 0.1, 0.5), small),
        losses=(0.5, 0.5, 2.29, None),
        twin_losses=(2.3, 2.18, 0.5, 1.0),  # guessing among ten classes gives 2.303, 95 % of that is 2.187
    )
    assert found.guessing == (0, 2)


def test_both_are_trained_as_alone(small: Architecture, few: Dataset) -> None:
    steps: list[Trained] = []
    found = solu_drop(small, few, RECIPE, ONE_EPOCH, plan=Plan(), seeds=(5,), on_progress=steps.append)
    own = (small, found.accuracies[0], found.losses[0])
    for architecture, accuracy, loss in (own, (found.twin, found.twin_accuracies[0], found.twin_losses[0])):
        last = train(build(architecture, DIGITS, seed=5), few, RECIPE, ONE_EPOCH, Plan(), seed=5).epochs[-1]
        assert (accuracy, loss) == (last.val_accuracy, last.train_loss)
    assert found.norm_params == 2 * (8 + 8 + 16)  # a gain and a bias for each channel behind stem, 3x3 and 1x1
    assert [(step.is_twin, step.progress is None) for step in steps] == [
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    ]
    assert [step.val_accuracy for step in steps if step.progress is None] == [
        found.accuracies[0],
        found.twin_accuracies[0],
    ]


def test_a_twin_that_diverges_has_no_accuracy(
    small: Architecture, few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(network: nn.Module, *given: object, **more: object) -> object:
        training = train(network, *given, **more)
        is_twin = any(isinstance(module, SoLU) for module in network.modules())
        return replace(training, ended="diverged" if is_twin else None)

    monkeypatch.setattr(probe, "train", diverging)
    found = solu_drop(small, few, RECIPE, ONE_EPOCH, plan=Plan(), seeds=(0,))
    assert found.accuracies[0] is not None
    assert (found.twin_accuracies, found.mean) == ((None,), None)


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_are_named_once(small: Architecture, few: Dataset, seeds: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="seeds: name at least one, each once"):
        solu_drop(small, few, RECIPE, ONE_EPOCH, plan=Plan(), seeds=seeds)
