"""What a recipe may ask for beyond a proxy's: each option trains, follows its seed, and resumes to the bit anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nas.architecture import Architecture, Stage, Stem
from nas.blocks import Block
from nas.data.images import Dataset
from nas.errors import InputError
from nas.recipe import BiasLoss, Distillation, Ramp
from nas.records import Fidelity, Plan, Recipe
from nas.training.checkpoint import Checkpoint, Checkpoints
from nas.training.feed import Feed
from nas.training.loop import Stage as Place
from nas.training.loop import Training, train
from nas.training.stages import Staged, StagedTraining
from nas.value import canonical_json

FULL = (Fidelity(epochs=3, resolution=8),)
BLOCK = Block(family="inverted", expansion=2)
NETWORK = Architecture(
    stem=Stem(width=8, stride=1),
    stages=(Stage(width=8, blocks=(BLOCK,)), Stage(width=16, stride=2, blocks=(BLOCK,))),
)
PLAIN: dict[str, Any] = {"batch_size": 16, "warmup_fraction": 0.2}

OPTIONS: dict[str, dict[str, Any]] = {
    "muon": {"optimizer": "muon", "schedule": "cosine", "ema_decay": 0.9},
    "clipped": {"gradient_clip": 0.01, "learning_rate": 0.05},
    "cropped": {"crop_area": 0.4, "mirror": True, "erasing": 0.5, "colour_jitter": 0.2},
    "rand augment": {"rand_augment": 9, "crop_padding": 1},
    "mixed": {"mixup": 0.2, "cutmix": 1.0},
    "growing": {"ramp": Ramp(start=0.5, begin=0.25, end=0.75, multiple=2), "crop_area": 0.5},
    "judged larger": {"test_scale": 1.5},
    "accumulated": {"accumulation": 2, "drop_path": 0.2},
    "blurred": {"blur_pool": True},
    "bias loss": {"bias_loss": BiasLoss()},
    "taught": {"distillation": Distillation(weight=1, temperature=2)},
    "taught on views": {"distillation": Distillation(views=2), "crop_area": 0.5},
}


def teacher(inputs: Tensor, indices: Tensor, epoch: int) -> Tensor:  # noqa: ARG001 - what a teacher is called with
    rows = inputs.flatten(1).sum(1, keepdim=True)
    return torch.cat([rows * i for i in range(10)], dim=1) / 100


def training(data: Dataset, option: dict[str, Any], **how: Any) -> StagedTraining:
    recipe = Recipe(**PLAIN | option)
    taught = teacher if recipe.distillation is not None else None
    return StagedTraining(
        NETWORK, data, **{"recipe": recipe, "rungs": FULL, "plan": Plan(), "seed": 3} | how, teacher=taught
    )


def weights(found: Staged | Training) -> dict[str, Tensor]:
    network = found.last.network if isinstance(found, Staged) else found.network
    return network.state_dict()


class Killed(BaseException):
    """What no training catches."""


class KilledAt(Checkpoints):
    """Checkpoints that are killed behind a number of writes."""

    left = 0

    def save(self, checkpoint: Checkpoint) -> None:
        """Save one, and end there."""
        super().save(checkpoint)
        self.left -= 1
        if not self.left:
            raise Killed


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_a_training_killed_within_epochs_is_one_that_ran_through(
    few: Dataset, tmp_path: Path, option: dict[str, Any]
) -> None:
    through = training(few, option).run(Checkpoints(None))
    for writes in (2, 3):  # within the first epoch, at its end or within another
        store = KilledAt(tmp_path, pytest.fail, seconds_at_risk=0)
        store.left = writes
        with pytest.raises(Killed):
            training(few, option, save_steps=4).run(store)
    resumed = training(few, option).run(Checkpoints(tmp_path, pytest.fail))
    assert [e.train_loss for e in resumed.epochs] == [e.train_loss for e in through.epochs]
    ours, theirs = weights(resumed), weights(through)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert through.epochs[-1].train_loss < through.epochs[0].train_loss


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "judged larger"])
def test_each_option_changes_what_is_trained(few: Dataset, name: str) -> None:
    one = (Fidelity(epochs=1, resolution=8),)
    plain, changed = (training(few, option, rungs=one).run(Checkpoints(None)) for option in ({}, OPTIONS[name]))
    ours, theirs = weights(plain), weights(changed)
    assert ours.keys() == theirs.keys()
    assert not all(torch.equal(ours[each], theirs[each]) for each in ours)


def test_fields_at_their_defaults_change_no_text() -> None:
    assert canonical_json(Recipe(batch_size=16)) == '{"batch_size":16}'


def test_images_grow_and_the_last_epochs_see_them_whole() -> None:
    ramp = Ramp(start=0.5, begin=0.25, end=0.75, multiple=32)
    assert [ramp.side(epoch, 8, 192) for epoch in range(8)] == [96, 96, 96, 128, 128, 160, 192, 192]


def test_views_come_again_in_turn_and_new_images_do_not(few: Dataset) -> None:
    def seen(views: int, seed: int = 1) -> list[Tensor]:
        recipe = Recipe(**PLAIN, crop_area=0.5, colour_jitter=0.1, distillation=Distillation(views=views))
        feed = Feed(few, recipe, FULL[0], Plan(), seed=seed, mirror_seed=1, tell=pytest.fail)

        def epoch(number: int) -> Tensor:
            batches = list(feed.epoch(number))
            order = torch.cat([batch.indices for batch in batches]).argsort()
            return torch.cat([batch.inputs for batch in batches])[order]

        return [epoch(number) for number in range(4)]

    first, second, again, _ = seen(2)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(first, seen(2, seed=9)[0])  # whatever the seed, so that a teacher's answers serve all
    new = seen(0)
    assert not torch.equal(new[0], new[2])


@pytest.mark.parametrize("option", [{"ramp": Ramp(start=0.5)}, {"mixup": 0.2}, {"rand_augment": 9}])
def test_views_have_nothing_that_is_new_in_each_epoch(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"distillation.views: {next(iter(option))} is new in each epoch"):
        Recipe(**option, distillation=Distillation(views=2))


def test_several_processes_and_suppression_do_not_go_together() -> None:
    from nas.records import Suppression
    from nas.training.ranks import Ranks
    from nas.training.step import Step

    network = training_network()
    with pytest.raises(InputError, match="not for several processes"):
        Step(network, Recipe(suppression=Suppression()), Plan(), steps=1, seed=0, ranks=Ranks(0, 2))


def training_network() -> torch.nn.Module:
    return torch.nn.Linear(2, 2)


def test_a_loss_that_is_not_finite_ends_a_training_at_its_step(few: Dataset) -> None:
    network = training(few, {}).build(FULL[0])
    calls = list[int]()

    def poison(_module: Any, _given: Any, logits: Tensor) -> Tensor:
        calls.append(1)
        return logits * float("nan") if len(calls) == 14 else logits

    network.register_forward_hook(poison)
    found = train(network, few, Recipe(**PLAIN), FULL[0], Plan(), seed=0, stage=Place())
    assert (found.ended, found.diverged_at) == ("diverged", 14)
