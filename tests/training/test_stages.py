"""Training in stages: going on from a checkpoint is never having stopped, and limits end a training, not a search."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nas.architecture import Architecture
from nas.data.images import Dataset
from nas.errors import InputError
from nas.records import Fidelity, Plan, Recipe, Suppression
from nas.training import feed, loop, stages
from nas.training.checkpoint import Checkpoints
from nas.training.feed import Feed
from nas.training.loop import Progress, train
from nas.training.stages import Staged, StagedTraining

LADDER = (
    Fidelity(epochs=1, train_fraction=0.5, resolution=8),
    Fidelity(epochs=2, resolution=8),
    Fidelity(epochs=4, resolution=12),
)
RECIPE = Recipe(batch_size=16, crop_padding=1, mirror=True)
NONE = Checkpoints(None)

Make = Callable[..., StagedTraining]


@pytest.fixture
def staged(few: Dataset, small: Architecture) -> Make:
    """Make a training of the small network through the ladder, or what is said of it."""

    def make(**fields: Any) -> StagedTraining:
        given = {"recipe": RECIPE, "rungs": LADDER, "plan": Plan(), "seed": 3}
        return StagedTraining(small, few, **given | fields)

    return make


def bits(made: Staged) -> dict[str, Tensor]:
    return made.last.network.state_dict()


def same(first: Staged, second: Staged) -> bool:
    """Compare weights, buffers and losses to the bit."""
    ours, theirs = bits(first), bits(second)
    losses = [[(epoch.train_loss, epoch.val_loss) for epoch in made.epochs] for made in (first, second)]
    return all(torch.equal(ours[name], theirs[name]) for name in ours) and losses[0] == losses[1]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"plan": Plan(precision="bfloat16", channels_last=True)},
        {"recipe": RECIPE.model_copy(update={"ema_decay": 0.8, "alternate_mirror": True, "colour_jitter": 0.2})},
        {"recipe": RECIPE.model_copy(update={"suppression": Suppression(strength=3), "drop_path": 0.2})},
        {"recipe": RECIPE.model_copy(update={"optimizer": "sgd", "learning_rate": 0.1})},
    ],
    ids=["float32", "bfloat16", "averaged", "suppressed", "sgd"],
)
def test_going_on_from_checkpoints_is_training_through_to_the_bit(
    staged: Make, tmp_path: Path, how: dict[str, Any]
) -> None:
    through = staged(**how).run(NONE)
    for top in range(1, len(LADDER) + 1):
        made = staged(rungs=LADDER[:top], **how).run(Checkpoints(tmp_path), goes_on=top < len(LADDER))
        assert made.continued_from == (0 if top == 1 else LADDER[top - 2].epochs)
    assert same(made, through)


def test_a_rung_is_trained_to_through_those_below_it(staged: Make) -> None:
    made = staged().run(NONE)
    assert [epoch.val_accuracy is not None for epoch in made.epochs] == [True, True, False, True]
    assert (made.continued_from, len(made.epochs)) == (0, 4)
    assert made.seconds >= sum(epoch.seconds for epoch in made.epochs)


def test_the_first_stage_is_an_ordinary_training(staged: Make, few: Dataset) -> None:
    alone = staged(rungs=LADDER[:1])
    plain = train(alone.build(LADDER[0]), few, RECIPE, LADDER[0], Plan(), seed=3)
    assert [epoch.val_loss for epoch in alone.run(NONE).epochs] == [epoch.val_loss for epoch in plain.epochs]


def test_each_stage_draws_anew_and_from_the_seed(staged: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []
    monkeypatch.setattr(
        loop, "Feed", lambda *given, seed, **more: seeds.append(seed) or Feed(*given, seed=seed, **more)
    )
    staged().run(NONE)
    staged(seed=4).run(NONE)
    assert len(set(seeds)) == 6


def test_listeners_hear_of_all_epochs(staged: Make) -> None:
    heard = list[Progress]()
    staged().run(NONE, heard.append)
    assert [(progress.epoch, progress.epochs) for progress in heard] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_only_trainings_that_may_go_on_leave_a_checkpoint(staged: Make, tmp_path: Path) -> None:
    top = staged(rungs=LADDER[:1])
    top.run(Checkpoints(tmp_path))
    assert list(tmp_path.iterdir()) == []
    top.run(Checkpoints(tmp_path), goes_on=True)
    assert [path.name for path in tmp_path.iterdir()] == [top.identity.file_name]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"recipe": RECIPE.model_copy(update={"mirror": False})},
        {"plan": Plan(channels_last=True)},
        {"rungs": (LADDER[0].model_copy(update={"train_fraction": 0.25}), *LADDER[1:])},
    ],
)
def test_the_checkpoint_of_another_training_is_not_gone_on_from(
    staged: Make, tmp_path: Path, change: dict[str, Any]
) -> None:
    staged(rungs=LADDER[:1]).run(Checkpoints(tmp_path), goes_on=True)
    assert staged(**change).run(Checkpoints(tmp_path)).continued_from == 0


def test_other_devices_of_one_kind_share_checkpoints(staged: Make) -> None:
    first, second = (staged(plan=Plan(device=device)).identity for device in ("cuda:0", "cuda:1"))
    assert first == second != staged().identity


def test_a_divergence_ends_all_stages(staged: Make, tmp_path: Path) -> None:
    made = staged(recipe=Recipe(optimizer="sgd", learning_rate=1e30, batch_size=16)).run(Checkpoints(tmp_path))
    assert made.last.ended == "diverged"
    assert list(tmp_path.iterdir()) == []


def test_a_stage_beyond_its_time_is_stopped(staged: Make) -> None:
    asked = list[Fidelity]()

    def allowed(stage: Fidelity) -> float:
        asked.append(stage)
        return 60.0 if len(asked) == 1 else 0.0

    made = staged(seconds_allowed=allowed).run(NONE)
    assert (made.last.ended, len(made.epochs)) == ("time", 1)
    assert [(stage.epochs, stage.resolution) for stage in asked] == [(1, 8), (1, 8)]


def test_a_time_limit_is_looked_at_within_an_epoch(staged: Make) -> None:
    started = time.perf_counter()
    made = staged(rungs=(Fidelity(epochs=10_000, resolution=8),), seconds_allowed=lambda _: 0.05).run(NONE)
    assert (made.last.ended, made.last.train_loss_ema) == ("time", None)
    assert time.perf_counter() - started < 5


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    MemoryError(),
]


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> list[int | None]:
    """Let so many calls of `train` fail; return the list that gets from which epoch on each call has halves."""
    parts = list[int | None]()

    def short(*given: Any, stage: Any, **more: Any) -> Any:
        parts.append(stage.halved_from)
        if len(parts) <= times:
            raise error
        return train(*given, stage=stage, **more)

    monkeypatch.setattr(stages, "train", short)
    return parts


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["gpu", "cpu", "python"])
def test_without_memory_a_stage_is_repeated_once_in_halves_as_are_those_behind_it(
    staged: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    parts = failing(monkeypatch, error, times=1)
    made = staged().run(NONE)
    assert parts == [None, 0, 0, 0]
    assert (made.last.ended, len(made.epochs), made.halved_from) == (None, 4, 0)


def test_without_memory_for_halves_either_the_error_is_raised(staged: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, OUT_OF_MEMORY[0], times=2)
    with pytest.raises(torch.OutOfMemoryError):
        staged().run(NONE)


def test_another_fault_is_not_repeated(staged: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = failing(monkeypatch, RuntimeError("shapes do not match"), times=1)
    with pytest.raises(RuntimeError, match="shapes"):
        staged().run(NONE)
    assert parts == [None]


@pytest.mark.parametrize("epochs", [(2, 2), (3, 1)])
def test_a_ladder_that_does_not_rise_is_refused(staged: Make, epochs: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="epochs must rise"):
        staged(rungs=tuple(replace_epochs(LADDER[0], count) for count in epochs))


def replace_epochs(fidelity: Fidelity, epochs: int) -> Fidelity:
    return fidelity.model_copy(update={"epochs": epochs})


def test_flips_alternate_through_the_stages(staged: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[tuple[int, int]]()
    real = feed.alternating

    def noted(indices: Tensor, epoch: int, seed: int) -> Tensor:
        seen.append((epoch, seed))
        return real(indices, epoch, seed)

    monkeypatch.setattr(feed, "alternating", noted)
    flipping = RECIPE.model_copy(update={"alternate_mirror": True})
    staged(recipe=flipping).run(NONE)
    assert sorted({epoch for epoch, _ in seen}) == [0, 1, 2, 3]
    assert len({seed for _, seed in seen}) == 1
