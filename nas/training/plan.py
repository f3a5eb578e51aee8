"""How training should run on this machine: a short measurement, not a belief about hardware."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from itertools import product
from statistics import fmean

from nas.architecture import Architecture, Task
from nas.budget import cost
from nas.records import Pace, Plan, Recipe
from nas.training.machine import cores, facts, free_bytes, using_threads
from nas.training.memory import training_bytes
from nas.training.plan_cache import ChoiceFile
from nas.training.plan_options import PlanOverrides, check_overrides
from nas.training.recipe import LEAST_STEPS
from nas.training.speed import Bench, Rate, Setting
from nas.value import FrozenMap, Value

WORTHWHILE = 1.1
"""A change must be this much faster: less may be noise, and another precision or batch gives other results as well."""
LARGEST_BATCH = {"cpu": 2, "cuda": 8}
"""How many times larger than the recipe's a batch may become."""
TRIALS_PER_DEVICE = 8
"""Trainings that share a GPU unless memory forbids it or fewer are faster; each costs about a second to try."""

PROCESS_BYTES = 500 << 20
"""What a training takes beside its tensors: a process with torch, what its kernels work with, the allocator's waste."""
FILLED = 0.8
"""Share of the free memory that is planned with."""

MOST_SECONDS = 20.0
"""After these no further setting is tried: on a machine that others use as well, some take long."""


class PlanChoice(Value):
    """A plan and a batch size, how fast training runs under them, and why they were picked.

    `tried` has the images per second of all trainings at once for every setting that was timed.
    """

    plan: Plan
    batch_size: int
    pace: Pace
    reasons: tuple[str, ...]
    tried: FrozenMap[float]
    is_cached: bool = False

    @property
    def lines(self) -> tuple[str, ...]:
        """What to tell a user: the plan, where it is from, and a line for each reason."""
        source = " (plan from the cache)" if self.is_cached else ""
        speed = f"{self.pace.images_per_second:,.0f} images/s a training"
        return (f"{_words(Setting(self.plan, self.batch_size))}: {speed}{source}", *self.reasons)


class Asked(Value):
    """What a plan is chosen for: all that decides it on one machine. `memory` None is what is free then."""

    architectures: tuple[Architecture, ...]
    task: Task
    recipe: Recipe
    device: str
    overrides: PlanOverrides
    largest_batch: int
    memory: int | None

    @cached_property
    def most_trainings(self) -> int:
        """How many trainings may run at once: as many as there are cores, or eight a GPU, if memory holds them."""
        devices = Plan(device=self.device).devices
        free = min(map(free_bytes, devices)) if self.memory is None else self.memory
        plan = Plan(device=devices[0])
        with using_threads(1):  # a second one would be waited for longer than it helps
            need = max(training_bytes(each, self.task, self.recipe, plan) for each in self.architectures)
        return max(
            1, min(int(FILLED * free) // (need + PROCESS_BYTES), cores() if self.device == "cpu" else TRIALS_PER_DEVICE)
        )


def choose_plan(
    architectures: Sequence[Architecture],
    task: Task,
    recipe: Recipe,
    *,
    device: str = "cpu",
    overrides: PlanOverrides | None = None,
    images: float = 0,
    memory: int | None = None,
    rate: Rate | None = None,
) -> PlanChoice:
    """Return how to train networks like `architectures` here: measured in seconds, or as measured before.

    `images`: how many the lowest rung trains on in all its epochs, which bounds the batch; at 0 that stays. `memory`:
    free bytes on the device, by default what is free now. `rate` times a setting, a `Bench` unless another is given.
    InputError for overrides that the device cannot follow.
    """
    overrides = overrides or PlanOverrides()
    check_overrides(overrides, device)
    asked = Asked(
        architectures=tuple(architectures),
        task=task,
        recipe=recipe,
        device=device,
        overrides=overrides,
        largest_batch=min(_largest_batch(device, recipe), int(images) // LEAST_STEPS),
        memory=memory,
    )
    file = ChoiceFile(PlanChoice, facts(Plan(device=device).devices), asked)
    found = file.read() if rate is None else None
    if found is not None:
        return found.model_copy(update={"is_cached": True})
    climb = _Climb(asked, rate or Bench(architectures, task, recipe))
    choice = climb.choice()
    if rate is None and climb.is_complete:
        file.write(choice)
    return choice


def describe(plan: Plan) -> str:
    """Return the plan in words."""
    layout = "channels_last" if plan.channels_last else "contiguous"
    words = [plan.device, plan.precision, layout]
    if plan.device != "cpu":
        words += ["CUDA graphs"] * plan.cuda_graphs + [_count(plan.trials_per_device, "trial") + " a device"]
    else:
        words += [_count(plan.threads, "thread")] + [_count(plan.workers, "worker")] * (plan.workers > 1)
    return ", ".join(words)


class _Climb:
    """From the plain setting on, keeps each change that pays, one field after another."""

    def __init__(self, asked: Asked, rate: Rate) -> None:
        self.asked, self.rate = asked, rate
        self.decided = asked.overrides.decided
        self.is_complete = True
        self.until = time.perf_counter() + MOST_SECONDS
        self.rates: dict[Setting, float] = {}
        self.reasons = [f"{name} {_shown(value)}: as asked for" for name, value in self.decided.items()]

    def choice(self) -> PlanChoice:
        asked, plan = self.asked, Plan(device=self.asked.device)
        of_plan = {name: value for name, value in self.decided.items() if name in Plan.model_fields}
        plan = plan.model_copy(update={"workers": len(plan.devices), **of_plan})
        size = asked.overrides.batch_size or asked.recipe.batch_size
        now = Setting(plan, size)
        on_cpu = asked.device == "cpu"
        if on_cpu:  # several in one process also contend for the interpreter, which blurs precision and layout
            now = self.workers(self.numbers(_changed(now, {"workers": 1})))
        else:
            now = self.trials(self.numbers(self.graphs(now)))
        now = self.batch(now)
        macs = round(fmean(cost(each, asked.task).macs for each in asked.architectures))
        return PlanChoice(
            plan=now.plan,
            batch_size=now.batch_size,
            pace=Pace(images_per_second=self.speed(now) / now.trainings, macs=macs),
            reasons=tuple(self.reasons),
            tried=FrozenMap({_words(setting): self.speed(setting) for setting in self.rates}),
        )

    def speed(self, setting: Setting) -> float:
        """Return the images per second of all trainings at once."""
        if setting not in self.rates:
            self.rates[setting] = self.rate(setting)
        return self.rates[setting] * setting.trainings

    def faster(self, now: Setting, other: Setting, names: tuple[str, str]) -> Setting:
        """Return `other` if it is faster by enough, else `now`, and keep the reason."""
        old, new = names
        if other not in self.rates and time.perf_counter() > self.until:
            self.is_complete = False
            self.reasons.append(f"{old}: {new} not tried, after {MOST_SECONDS:.0f} s of trying")
            return now
        ratio = self.speed(other) / self.speed(now)
        if ratio >= WORTHWHILE:
            self.reasons.append(f"{new}: {_times(ratio)} {old}")
        elif ratio > 1:
            self.reasons.append(f"{old}: {new}, {ratio:.3g} times as fast, gains too little")
        else:
            self.reasons.append(f"{old}: {_times(1 / ratio)} {new}" if ratio else f"{old}: {new} needs too much memory")
        return other if ratio >= WORTHWHILE else now

    def graphs(self, now: Setting) -> Setting:
        """Return the setting with CUDA graphs if they pay and were not decided."""
        if "cuda_graphs" in self.decided:
            return now
        return self.faster(now, _changed(now, {"cuda_graphs": True}), ("steps launched one by one", "CUDA graphs"))

    def numbers(self, now: Setting) -> Setting:
        """Return the setting with the precision and the layout that serve best together.

        Tried in pairs, the likeliest first, since one may pay with the other alone: oneDNN's bfloat16 kernels are fast
        in channels_last.
        """
        choices = {"precision": ("float32", "bfloat16"), "channels_last": (False, True)}
        open_choices = {name: values for name, values in choices.items() if name not in self.decided}
        best = now
        for values in reversed(list(product(*open_choices.values()))[1:]):
            other = _changed(now, dict(zip(open_choices, values, strict=True)))
            best = self.faster(best, other, (_form(best.plan), _form(other.plan)))
        return best

    def workers(self, now: Setting) -> Setting:
        """Return the setting with as many workers as the cores and the memory allow, of the threads that serve best.

        Several at once are timed at once: one thread each may have the cores for themselves and still share caches and
        memory. From one thread on upwards: small networks seldom keep two of them busy.
        """
        overrides, most = self.asked.overrides, self.asked.most_trainings
        settings = []
        for threads in [overrides.threads] if overrides.threads else reversed(_halves(cores())):
            workers = overrides.workers or max(1, min(cores() // threads, most))
            settings.append(_changed(now, {"threads": threads, "workers": workers}))
        best, *others = settings
        for other in others:
            best = self.faster(best, other, (_crew(best.plan), _crew(other.plan)))
        return best

    def trials(self, now: Setting) -> Setting:
        """Return the setting with the most trainings a GPU that are faster than one alone."""
        if "trials_per_device" in self.decided:
            return now
        *several, _ = _halves(self.asked.most_trainings)
        for trials in several:
            other = _changed(now, {"trials_per_device": trials})
            if self.faster(now, other, ("one training a GPU", f"{trials} at once")) is other:
                return other
        if not several:
            self.reasons.append("one training a GPU: its memory holds no more")
        return now

    def batch(self, now: Setting) -> Setting:
        """Return the setting with the batch size doubled as long as that pays and leaves the lowest rung its steps."""
        if "batch_size" in self.decided:
            return now
        while 2 * now.batch_size <= self.asked.largest_batch:
            other = Setting(now.plan, 2 * now.batch_size)
            names = (f"batches of {now.batch_size}", f"batches of {other.batch_size}")
            if self.faster(now, other, names) is now:
                return now
            now = other
        if self.asked.largest_batch < _largest_batch(self.asked.device, self.asked.recipe):
            self.reasons.append(
                f"batches of {now.batch_size}: larger ones leave the lowest rung fewer than {LEAST_STEPS} steps"
            )
        return now


def _largest_batch(device: str, recipe: Recipe) -> int:
    return LARGEST_BATCH[device.partition(":")[0]] * recipe.batch_size


def _changed(setting: Setting, update: dict[str, object]) -> Setting:
    return Setting(setting.plan.model_copy(update=update), setting.batch_size)


def _halves(most: int) -> list[int]:
    """Return `most`, and each power of two below it, down to one."""
    return [most, *(2**i for i in reversed(range(most.bit_length())) if 2**i < most)]


def _form(plan: Plan) -> str:
    return f"{plan.precision} {'channels_last' if plan.channels_last else 'contiguous'}"


def _crew(plan: Plan) -> str:
    return f"{_count(plan.workers, 'worker')} of {_count(plan.threads, 'thread')}"


def _words(setting: Setting) -> str:
    return f"{describe(setting.plan)}, batches of {setting.batch_size}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number > 1)}"


def _shown(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.2g} times"
