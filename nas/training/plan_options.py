"""What a user may say of how training runs: `--plan` and `--device`, read and checked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError

from nas.errors import InputError, unknown
from nas.records import Plan
from nas.value import Value

AUTOMATIC = "auto"

_ALLOWED = {
    "precision": "float32 or bfloat16",
    "channels_last": "yes or no",
    "threads": "a whole number from 1",
    "workers": "a whole number from 1",
    "batch_size": "a whole number from 2",
    "cuda_graphs": "yes or no",
    "trials_per_device": "a whole number from 1",
}


class PlanOverrides(Value):
    """What a user decided of the plan; None is measured."""

    precision: Literal["float32", "bfloat16"] | None = None
    channels_last: bool | None = None
    threads: int | None = Field(default=None, ge=1)
    workers: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=2)
    cuda_graphs: bool | None = None
    trials_per_device: int | None = Field(default=None, ge=1)

    @property
    def decided(self) -> dict[str, object]:
        """What is not None, by name."""
        return self.model_dump(exclude_none=True)


def parse_plan(text: str) -> PlanOverrides:
    """Return the decisions of ``precision=float32,threads=1``, none for ``auto``; InputError for anything else."""
    if text.strip() == AUTOMATIC:
        return PlanOverrides()
    given: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals:
            raise InputError(f"--plan: must be {AUTOMATIC} or NAME=VALUE,..., got {part.strip()!r}")
        if name not in _ALLOWED:
            raise InputError(unknown("name", name, _ALLOWED, where="--plan"))
        if name in given:
            raise InputError(f"--plan: {name} is given twice, as {given[name]!r} and {value!r}")
        given[name] = value
    try:
        return PlanOverrides.model_validate(given)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise InputError(f"--plan: {name} must be {_ALLOWED[name]}, got {given[name]!r}") from None


def parse_device(text: str, found: int) -> str:
    """Return the device or devices, of which this machine has `found` GPUs; InputError for what it has not."""
    kind, colon, rest = text.partition(":")
    indices = rest.split(",") if colon else []
    is_known = kind == "cuda" or (kind == "cpu" and not colon)
    if not is_known or not all(index.isdecimal() for index in indices):
        raise InputError(f"--device must be cpu, cuda, cuda:N or cuda:N,M, got {text!r}")
    if len(set(map(int, indices))) < len(indices):
        raise InputError(f"--device {text}: names a device twice")
    if kind == "cuda" and max(map(int, indices), default=0) >= found:
        raise InputError(f"--device {text}: this machine has {found} CUDA device(s)")
    return text


def check_overrides(overrides: PlanOverrides, device: str) -> None:
    """Raise InputError for decisions that the device cannot follow."""
    if device == "cpu":
        if overrides.cuda_graphs:
            raise InputError("--plan: cuda_graphs=yes needs a GPU, the device is cpu")
        if (overrides.trials_per_device or 1) > 1:
            raise InputError(
                f"--plan: trials_per_device={overrides.trials_per_device} needs a GPU, the device is cpu; "
                "there, workers=N runs N trainings at once"
            )
    elif overrides.workers not in {None, len(Plan(device=device).devices)}:
        raise InputError(
            f"--plan: workers={overrides.workers}, but each GPU of {device} has one worker; "
            "trials_per_device=N lets N trainings share it"
        )
