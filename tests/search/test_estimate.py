"""What a search will cost, said before it starts."""

from __future__ import annotations

from typing import Any

import pytest

from nas.architecture import Task
from nas.errors import InputError
from nas.records import Pace, Plan, Recipe, StudyConfig
from nas.search import estimate as estimates
from nas.search.estimate import SearchEstimate, estimate
from nas.space_file import load_space
from nas.training.recipe import parse_rungs

DIGITS = Task(num_classes=10, in_channels=1, resolution=8)
PACE = Pace(images_per_second=1000, macs=10**5)


def config(rungs: str = "2,6", **changes: Any) -> StudyConfig:
    space = load_space("digits")
    values: dict[str, Any] = {
        "name": "mine",
        "space_name": space.name,
        "space_text": space.text,
        "target": space.target,
        "budget": space.target.budget(None),
        "data": "digits",
        "data_fingerprint": "none",
        "validation_fraction": 0.2,
        "objectives": ("val_accuracy", "params"),
        "fidelities": parse_rungs(rungs, 8),
        "reduction": 6,
        "recipe": Recipe(),
        "plan": Plan(),
        "pace": PACE,
        "seed": 0,
    }
    return StudyConfig(**values | changes)


def of(given: StudyConfig, trials: int = 48) -> SearchEstimate:
    return estimate(given, trials, DIGITS, train_images=1000, validation_images=300)


def test_promotions_train_for_what_they_add() -> None:
    """48 candidates for 2 epochs, of which 8 go on for 4 more."""
    assert (of(config()).trainings, of(config()).images) == (48 + 8, 48 * 2000 + 8 * 4000)


def test_the_finalists_further_seeds_train_from_the_start() -> None:
    found = of(config(finalists=5, finalist_seeds=3))
    assert (found.trainings, found.images) == (48 + 8 + 10, 48 * 2000 + 8 * 4000 + 10 * 6000)


def test_a_search_too_short_to_promote_costs_its_lowest_rung() -> None:
    assert of(config(), trials=3).images == 3 * 2000


def test_time_follows_the_pace_and_what_runs_at_once() -> None:
    alone = of(config()).seconds
    slower = of(config(pace=Pace(images_per_second=500, macs=10**5))).seconds
    shared = of(config(plan=Plan(workers=2))).seconds
    assert alone is not None
    assert slower is not None
    assert shared == pytest.approx(alone / 2)
    fixed = 56 * estimates.SECONDS_A_JOB
    assert slower - fixed == pytest.approx(2 * (alone - fixed))


def test_smaller_images_take_less_time() -> None:
    small, large = of(config("2@4,6")).seconds, of(config("2,6")).seconds
    assert small is not None
    assert large is not None
    assert small < large


def test_without_a_pace_there_is_no_time() -> None:
    found = of(config(pace=None))
    assert found.seconds is None
    assert found.words.startswith("56 trainings, 128 k images, ")


def test_disk_holds_images_checkpoints_and_the_database() -> None:
    one, several = of(config("6")).disk_bytes, of(config("2@4,6")).disk_bytes
    assert one == 48 * estimates.BYTES_A_JOB + 1300 * 64
    assert several > 56 * estimates.BYTES_A_JOB + 1300 * (64 + 16) + 48 * 3 * 4 * 1000


def test_a_checkpoint_holds_what_the_optimizer_and_the_average_do() -> None:
    def checkpoints(**recipe: object) -> float:
        made = Recipe(**recipe)
        return of(config("2,6", recipe=made)).disk_bytes - of(config("6", recipe=made)).disk_bytes - 8 * 12_000

    plain = checkpoints(optimizer="sgd", momentum=0)
    assert plain > 0
    assert checkpoints(optimizer="sgd") == pytest.approx(2 * plain)
    assert checkpoints() == pytest.approx(3 * plain)
    assert checkpoints(ema_decay=0.9) == pytest.approx(4 * plain)


@pytest.mark.parametrize(
    ("seconds", "at_once", "words"),
    [
        (12.3, 1, "about 12 s: 1,500 trainings, 2.5 M images, 45 MB of disk"),
        (600.0, 2, "about 10 min: 1,500 trainings, 2 at a time, 2.5 M images, 45 MB of disk"),
        (9000.0, 8, "about 2.5 h: 1,500 trainings, 8 at a time, 2.5 M images, 45 MB of disk"),
    ],
)
def test_an_estimate_is_one_line(seconds: float, at_once: int, words: str) -> None:
    assert SearchEstimate(1500, at_once, 2.5e6, seconds, 45e6).words == words


def test_a_space_in_which_nothing_fits_is_refused() -> None:
    impossible = config().budget.model_copy(update={"params": 10})
    with pytest.raises(InputError, match="none of 256 random members fits"):
        of(config(budget=impossible))
