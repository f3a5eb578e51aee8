"""How training should run here: the plan that was measured to be the fastest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.architecture import Architecture
from nas.errors import InputError
from nas.records import Plan, Recipe
from nas.training import plan as plans
from nas.training.plan import PlanChoice, choose_plan, describe
from nas.training.plan_options import PlanOverrides
from nas.training.speed import Setting
from tests.training.conftest import DIGITS

Choose = Callable[..., PlanChoice]

CORES = 4
ROOM = 100 << 30


def rate(setting: Setting, **factors: float) -> float:
    """Return how fast a made-up machine is: any factor counts where its name is in the setting's words."""
    speed = 100.0
    words = describe(setting.plan).replace(" ", "_") + f"_batch_{setting.batch_size}_"
    for name, factor in factors.items():
        speed *= factor if name in words else 1.0
    return speed


@pytest.fixture
def choose(small: Architecture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Choose:
    """Choose a plan on a made-up machine of four cores."""
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    monkeypatch.setattr(plans, "cores", lambda: CORES)
    monkeypatch.setattr(plans, "facts", list)

    def choose(device: str = "cpu", **given: Any) -> PlanChoice:
        factors = {name: given.pop(name) for name in list(given) if isinstance(given[name], float)}
        given = {"memory": ROOM, "rate": lambda setting: rate(setting, **factors), **given}
        return choose_plan([small], DIGITS, Recipe(batch_size=64), device=device, **given)

    return choose


def test_nothing_but_workers_pays_where_all_settings_are_as_fast(choose: Choose) -> None:
    assert choose().plan == Plan(workers=CORES)


def test_one_worker_has_all_cores_where_threads_scale(choose: Choose) -> None:
    choice = choose(**{"4_threads": 8.0, "2_threads": 2.0, "4_workers": 0.9})
    assert choice.plan == Plan(threads=4)
    assert "1 worker of 4 threads: 2 times 2 workers of 2 threads" in choice.reasons


def test_workers_that_contend_for_memory_are_not_faster(choose: Choose) -> None:
    assert choose(**{"4_threads": 3.0, "2_workers": 0.9, "4_workers": 0.5, "2_threads": 1.5}).plan.workers == 1


def test_changes_that_pay_add_up_and_are_explained(choose: Choose) -> None:
    choice = choose(channels_last=1.2, bfloat16=1.9)
    assert choice.plan == Plan(workers=CORES, channels_last=True, precision="bfloat16")
    assert "bfloat16 channels_last: 2.3 times float32 contiguous" in choice.reasons
    assert "bfloat16 channels_last: 1.2 times bfloat16 contiguous" in choice.reasons
    assert choice.tried["cpu, bfloat16, channels_last, 1 thread, 4 workers, batches of 64"] == pytest.approx(912)


def test_a_gain_within_the_noise_is_no_gain(choose: Choose) -> None:
    choice = choose(channels_last=1.04, bfloat16=0.2)
    assert choice.plan == Plan(workers=CORES)
    assert "float32 contiguous: float32 channels_last, 1.04 times as fast, gains too little" in choice.reasons
    assert "float32 contiguous: 5 times bfloat16 contiguous" in choice.reasons


def test_what_pays_with_the_other_alone_is_found(choose: Choose) -> None:
    choice = choose(**{"channels_last": 0.9, "bfloat16": 0.7, "bfloat16,_channels_last": 3.0})
    assert choice.plan == Plan(workers=CORES, channels_last=True, precision="bfloat16")


def test_the_pace_is_that_of_one_training_beside_the_others(choose: Choose) -> None:
    assert choose(**{"4_workers": 0.8}).pace.images_per_second == pytest.approx(80)


def test_memory_bounds_the_workers(choose: Choose) -> None:
    assert choose(memory=2 * plans.PROCESS_BYTES).plan == Plan()


def test_a_larger_batch_is_taken_where_it_pays_and_leaves_enough_steps(choose: Choose) -> None:
    faster = {"batch_128": 1.3, "batch_256": 2.0}
    assert choose(images=100_000, **faster).batch_size == 128
    assert choose(images=12_799, **faster).batch_size == 64
    assert choose(images=100_000, batch_128=1.09).batch_size == 64


def test_what_was_decided_is_not_measured(choose: Choose) -> None:
    decided = PlanOverrides(precision="bfloat16", threads=3, workers=2, batch_size=32)
    choice = choose(overrides=decided, bfloat16=0.1)
    assert (choice.plan, choice.batch_size) == (Plan(precision="bfloat16", threads=3, workers=2), 32)
    assert choice.reasons[:2] == ("precision bfloat16: as asked for", "threads 3: as asked for")
    assert all("bfloat16, " in words and "3 threads" in words for words in choice.tried)


def test_no_setting_is_tried_after_the_time_is_up(choose: Choose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MOST_SECONDS", -1.0)
    choice = choose(channels_last=5.0)
    assert (choice.plan, len(choice.tried)) == (Plan(workers=CORES), 1)
    assert all("not tried" in reason for reason in choice.reasons[:-1])


def test_a_gpu_gets_graphs_and_as_many_trainings_as_pay(choose: Choose) -> None:
    choice = choose("cuda:0,1", CUDA_graphs=3.0, bfloat16=1.5, **{"8_trials": 0.3})
    fast = {"precision": "bfloat16", "channels_last": True, "cuda_graphs": True}
    assert choice.plan == Plan(device="cuda:0,1", workers=2, trials_per_device=8, **fast)
    assert "8 at once: 2.4 times one training a GPU" in choice.reasons
    assert choice.pace.images_per_second == pytest.approx(135)


def test_fewer_trainings_share_a_gpu_where_eight_are_too_many(choose: Choose) -> None:
    choice = choose("cuda", **{"8_trials": 0.0, "4_trials": 0.25, "2_trials": 0.6})
    assert choice.plan.trials_per_device == 2
    assert "one training a GPU: 8 at once needs too much memory" in choice.reasons


def test_memory_bounds_the_trainings_of_a_gpu(choose: Choose) -> None:
    choice = choose("cuda", memory=plans.PROCESS_BYTES)
    assert choice.plan.trials_per_device == 1
    assert "one training a GPU: its memory holds no more" in choice.reasons


def test_a_gpu_may_have_eight_times_the_batch(choose: Choose) -> None:
    grows = {f"batch_{64 * 2**i}_": 1.5**i for i in range(1, 6)}
    assert choose("cuda", images=10**7, **grows).batch_size == 512


@pytest.mark.parametrize(
    ("device", "decided", "words"),
    [
        ("cpu", {"cuda_graphs": True}, "cuda_graphs=yes needs a GPU"),
        ("cpu", {"trials_per_device": 4}, "trials_per_device=4 needs a GPU"),
        ("cuda:0,1", {"workers": 3}, "workers=3, but each GPU of cuda:0,1 has one worker"),
    ],
)
def test_what_a_device_cannot_do_is_refused(choose: Choose, device: str, decided: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        choose(device, overrides=PlanOverrides(**decided))


@pytest.fixture
def quick(small: Architecture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], PlanChoice]:
    """Choose a plan for digits by a measurement that hardly looks."""
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    monkeypatch.setattr("nas.training.speed.SECONDS_EACH", 0.01)
    monkeypatch.setattr(plans, "cores", lambda: 1)
    return lambda: choose_plan([small, small], DIGITS, Recipe(batch_size=16))


def test_a_measured_plan_is_the_fastest_of_those_that_were_tried(quick: Callable[[], PlanChoice]) -> None:
    choice = quick()
    best = choice.tried[f"{describe(choice.plan)}, batches of 16"]
    assert best * plans.WORTHWHILE >= max(choice.tried.values()) > 0
    assert choice.pace.images_per_second == pytest.approx(best / choice.plan.workers)


def test_a_like_study_gets_its_plan_from_the_cache(quick: Callable[[], PlanChoice], tmp_path: Path) -> None:
    first, second = quick(), quick()
    assert second == first.model_copy(update={"is_cached": True})
    assert second.lines[0] == first.lines[0] + " (plan from the cache)"
    (path,) = (tmp_path / "plans").iterdir()
    path.write_text("{")
    assert not quick().is_cached


def test_a_cache_that_cannot_be_written_is_no_fault(quick: Callable[[], PlanChoice], tmp_path: Path) -> None:
    (tmp_path / "plans").touch()
    assert not quick().is_cached


def test_measuring_leaves_threads_and_generators_alone(quick: Callable[[], PlanChoice]) -> None:
    torch.rand(1)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    quick()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan(), "cpu, float32, contiguous, 1 thread"),
        (Plan(threads=2, workers=3), "cpu, float32, contiguous, 2 threads, 3 workers"),
        (
            Plan(device="cuda", precision="bfloat16", channels_last=True),
            "cuda, bfloat16, channels_last, 1 trial a device",
        ),
        (
            Plan(device="cuda:0,1", cuda_graphs=True, trials_per_device=8),
            "cuda:0,1, float32, contiguous, CUDA graphs, 8 trials a device",
        ),
    ],
)
def test_plans_are_told_in_words(plan: Plan, words: str) -> None:
    assert describe(plan) == words
