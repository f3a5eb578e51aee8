"""What a user may say of how training runs: `--plan` and `--device`."""

from __future__ import annotations

import pytest

from nas.errors import InputError
from nas.training.plan_options import PlanOverrides, parse_device, parse_plan


def test_every_part_of_a_plan_can_be_decided() -> None:
    text = "precision=float32,threads=1, workers=2,batch_size=64,channels_last=yes,cuda_graphs=no,trials_per_device=4"
    assert parse_plan(text) == PlanOverrides(
        precision="float32",
        threads=1,
        workers=2,
        batch_size=64,
        channels_last=True,
        cuda_graphs=False,
        trials_per_device=4,
    )


def test_auto_decides_nothing() -> None:
    assert parse_plan("auto").decided == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("fast", "--plan: must be auto or NAME=VALUE,..., got 'fast'"),
        ("", "--plan: must be auto or NAME=VALUE,..., got ''"),
        ("precision=fp16", "--plan: precision must be float32 or bfloat16, got 'fp16'"),
        ("threads=1,workers=0", "--plan: workers must be a whole number from 1, got '0'"),
        ("threads=", "--plan: threads must be a whole number from 1, got ''"),
        ("batch_size=1", "--plan: batch_size must be a whole number from 2, got '1'"),
        ("channels_last=maybe", "--plan: channels_last must be yes or no, got 'maybe'"),
        ("threads=1,threads=2", "--plan: threads is given twice, as '1' and '2'"),
        ("thread=1", "--plan: unknown name 'thread'; did you mean 'threads'?"),
    ],
)
def test_what_is_no_plan_is_refused_in_one_line(text: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_plan(text)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["cpu", "cuda", "cuda:1", "cuda:0,1"])
def test_devices_that_are_here_are_taken(text: str) -> None:
    assert parse_device(text, found=2) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        *(
            (text, "--device must be cpu, cuda, cuda:N or cuda:N,M, got ")
            for text in ("tpu", "cpu:0", "cuda:", "cuda:x")
        ),
        ("cuda:0,", "--device must be"),
        ("cuda:0,2", "--device cuda:0,2: this machine has 2 CUDA device(s)"),
        ("cuda:1,1", "--device cuda:1,1: names a device twice"),
    ],
)
def test_other_devices_are_refused_in_one_line(text: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_device(text, found=2)
    assert str(caught.value).startswith(line)


def test_a_machine_without_gpus_has_no_cuda() -> None:
    with pytest.raises(InputError, match="this machine has 0 CUDA"):
        parse_device("cuda", found=0)
