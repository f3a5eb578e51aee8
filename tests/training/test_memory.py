"""What a training is predicted to hold is what it holds, and what is said when there is no more is understood."""

from __future__ import annotations

import pytest
import torch

from nas.architecture import Architecture, Stage, Stem, Task
from nas.blocks import Block
from nas.network.build import build
from nas.records import Plan, Recipe
from nas.training.memory import is_out_of_memory, saved_bytes, training_bytes
from nas.training.step import Step
from tests.core.live_memory import LiveBytes

TASK = Task(num_classes=10, in_channels=3, resolution=16)
BATCH = 24


def network(family: str) -> Architecture:
    blocks = (Block(family=family, expansion=2), Block(family=family, expansion=2, activation="gelu"))
    return Architecture(stem=Stem(width=16, stride=1), stages=(Stage(width=16, stride=2, blocks=blocks),))


def peak_bytes(architecture: Architecture, recipe: Recipe, plan: Plan) -> int:
    """Return the most bytes alive at once while a network is made and takes two steps."""
    with LiveBytes() as live:
        step = Step(build(architecture, TASK), recipe, plan, steps=2, seed=0)
        images = torch.zeros(recipe.batch_size, TASK.in_channels, TASK.resolution, TASK.resolution)
        labels = torch.zeros(recipe.batch_size, dtype=torch.int64)
        for _ in range(2):
            step(images, labels)
    return live.peak


@pytest.mark.parametrize("family", ["inverted", "convnext", "nodepth", "sandglass", "residual"])
@pytest.mark.parametrize("plan", [Plan(), Plan(precision="bfloat16", channels_last=True)], ids=["float32", "bfloat16"])
def test_the_prediction_is_close_to_what_a_step_holds(family: str, plan: Plan) -> None:
    recipe = Recipe(batch_size=BATCH)
    truth = peak_bytes(network(family), recipe, plan)
    assert training_bytes(network(family), TASK, recipe, plan) == pytest.approx(truth, rel=0.25)


def test_the_prediction_follows_the_batch_and_the_optimizer() -> None:
    def predicted(**fields: object) -> int:
        return training_bytes(network("inverted"), TASK, Recipe(**{"batch_size": BATCH} | fields), Plan())

    weights = sum(p.numel() * 4 for p in build(network("inverted"), TASK).parameters())
    image = (predicted(batch_size=2 * BATCH) - predicted()) / BATCH
    saved = saved_bytes(build(network("inverted"), TASK).train(), TASK, BATCH, Plan()) / BATCH
    assert image == pytest.approx(saved + 3 * 16 * 16 * 4, rel=0.05)
    assert predicted(ema_decay=0.9) - predicted() == weights
    assert predicted() - predicted(optimizer="sgd") == weights
    assert predicted() - predicted(optimizer="sgd", momentum=0) == 2 * weights


def test_a_prediction_leaves_no_trace_on_a_device_that_is_not_there() -> None:
    assert training_bytes(network("inverted"), TASK, Recipe(), Plan(device="cuda:7")) > 0


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not execute a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for a convolution forward"), False),
        (RuntimeError("shapes do not match"), False),
        (ValueError(), False),
    ],
)
def test_errors_that_mean_memory_has_run_out(error: Exception, is_memory: bool) -> None:
    assert is_out_of_memory(error) is is_memory


def test_what_torch_raises_without_memory_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_an_error_in_the_handling_of_one_counts() -> None:
    def end_of_capture() -> None:
        try:
            raise torch.OutOfMemoryError
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    with pytest.raises(RuntimeError) as caught:
        end_of_capture()
    assert is_out_of_memory(caught.value)
