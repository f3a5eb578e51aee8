"""Which running trials have nobody who runs them: their process has ended, or it has been silent for too long.

No clock of another machine is believed, and none of this one that can be set: a trial is lost when its heartbeat has
not changed for as long as the lease, by the monotonic clock of whoever looks. A clock that jumps takes no trial away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from optuna.storages import RDBStorage
from pydantic import ValidationError

from nas.search.hold import pulses
from nas.search.ledger import LOSSES, WORKER, StoredTrial
from nas.search.worker_id import NOBODY, is_gone
from nas.value import Value

MOST_LOSSES = 5
"""After so many workers that ended before they finished an epoch of it, a trial is not tried again."""


class Pulse(Value):
    """How far a worker is with a trial, as its beats tell: `epoch` of `epochs` are done.

    `oom_kills` is how many processes the host of the worker had killed for memory when it began; None where it does not
    say.
    """

    epoch: int = 0
    epochs: int = 0
    beats: int = 0
    oom_kills: int | None = None


class Losses(Value):
    """How many workers were lost with a trial: in a row since it last came further than `epoch`; for memory; in all."""

    times: int = 0
    epoch: int = 0
    memory: int = 0
    total: int = 0


@dataclass(frozen=True)
class Lost:
    """A trial that has nobody who runs it, and how far it was. Those that were let go were not lost with a worker."""

    trial: StoredTrial
    pulse: Pulse

    def losses(self, oom_kills: Callable[[], int | None]) -> Losses:
        """Return the losses of the trial, this one included; what the kernel did is only known of this host."""
        before = Losses.model_validate(self.trial.attributes.get(LOSSES, {}))
        worker = str(self.trial.attributes.get(WORKER, ""))
        if worker == NOBODY:
            return before
        went_on = self.pulse.epoch > before.epoch
        kills = oom_kills() if is_gone(worker) and self.pulse.oom_kills is not None else None
        of_memory = kills is not None and kills > (self.pulse.oom_kills or 0)
        return Losses(
            times=1 if went_on else before.times + 1,
            epoch=self.pulse.epoch,
            memory=before.memory + of_memory,
            total=before.total + 1,
        )


class Leases:
    """Watches running trials. An object that is new has to watch for one lease before it can tell of other hosts."""

    def __init__(self, storage: RDBStorage, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage, self._clock = storage, clock
        self._seen: dict[int, tuple[object, float]] = {}

    def lost(self, trials: Iterable[StoredTrial], seconds: float) -> list[Lost]:
        """Return those of some trials that are lost: their process has ended, or was silent for so many seconds."""
        running = {trial.trial_id: trial for trial in trials if trial.is_running}
        if not running:
            return []
        found, moment = pulses(self._storage, running), self._clock()
        seen: dict[int, tuple[object, float]] = {}
        lost = []
        for trial_id, trial in running.items():
            worker = str(trial.attributes.get(WORKER, ""))
            signs = (worker, *found[trial_id])
            before, since = self._seen.get(trial_id, (None, moment))
            seen[trial_id] = signs, since if before == signs else moment
            if is_gone(worker) or moment - seen[trial_id][1] > seconds:
                lost.append(Lost(trial, read_pulse(found[trial_id][1])))
        self._seen = seen
        return lost


def read_pulse(text: str) -> Pulse:
    """Return how far a worker is, as its beats tell; nothing yet, where another version wrote it."""
    try:
        return Pulse.model_validate_json(text or "{}")
    except ValidationError:
        return Pulse()
