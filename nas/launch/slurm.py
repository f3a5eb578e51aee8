"""`--launcher slurm`: workers as one array job of Slurm, through submitit; `cluster=local` runs them on this machine.

submitit is made for sending a function, which it pickles. Nothing needs sending here: its executors write the batch
file, hand it in and name the jobs, for the command of `nas.launch.relay` instead of theirs, and no pickle is written or
read. What tells how the jobs fare is `squeue`: `sacct`, which submitit asks, needs a database many clusters lack.
"""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from nas.errors import InputError, NasError
from nas.launch.crew import Crew, Order
from nas.launch.keep import verdict
from nas.launch.options import Reader, text, whole
from nas.search.workers import PATIENCE_SECONDS, Ended, see_off

LOOK_SECONDS = 5.0
"""Between two questions to Slurm: one server answers them for everybody."""
COMPLETED, GONE = "COMPLETED", "GONE"
FINAL = {COMPLETED, "BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT"}
"""States from which no job returns; NODE_FAIL and PREEMPTED are states on the way back into the queue."""
MOST_MINUTES = 60 * 24 * 365
"""The time that submitit's executor of this machine is given: it ends what takes longer."""


def _cluster(given: str) -> str:
    if given not in {"slurm", "local"}:
        raise ValueError("slurm or local")
    return given


OPTIONS: Mapping[str, Reader] = {
    "cluster": _cluster,
    **dict.fromkeys(["partition", "time", "mem", "mem_per_cpu", "mem_per_gpu", "gres", "qos", "account"], text),
    **dict.fromkeys(["constraint", "nodelist", "exclude", "reservation", "setup"], text),
    **dict.fromkeys(["gpus_per_node", "cpus_per_task", "array_parallelism", "signal_delay_s"], whole),
}
"""Those of `sbatch` with underscores, but: `setup` is a line of shell to run before, `array_parallelism` how many
workers may run at once, `signal_delay_s` how long before its time is up a job is told."""
EXTRA = {"reservation"}
"""What submitit passes on without knowing it."""


@dataclass(frozen=True)
class Slurm:
    """Starts workers by `sbatch`, or by submitit's executor of this machine."""

    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise InputError where the cluster's programs, or submitit, are missing."""
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise InputError("--launcher slurm: submitit is not installed; pip install 'nas[cluster]'") from None
        if self.is_one_machine:
            if others := sorted(set(self.options) - {"cluster"}):
                raise InputError(f"--launch-option {others[0]}: cluster=local runs on this machine and takes no other")
        elif missing := [name for name in ("sbatch", "srun", "squeue", "scancel") if not shutil.which(name)]:
            raise InputError(
                f"--launcher slurm: no {missing[0]} on this machine; run it on a login node of the cluster, "
                "or try it on this one with --launch-option cluster=local"
            )

    @property
    def is_one_machine(self) -> bool:
        """Whether all workers run on this machine."""
        return self.options.get("cluster") == "local"

    def crew(self, order: Order) -> Crew:
        """Return the workers of an order, not yet started."""
        return LocalCrew(order) if self.is_one_machine else SlurmCrew(order, self.options)


class SlurmCrew:
    """The tasks of an array job. They outlive this process: the study is whole without it, and `scancel` ends them."""

    def __init__(self, order: Order, options: Mapping[str, Any]) -> None:
        self._order, self._options = order, options
        self._left = set(range(1, order.workers + 1))
        self._job = ""
        self._looked = -LOOK_SECONDS
        self._is_done = False

    def __enter__(self) -> Self:
        """Hand the array job in."""
        import submitit

        executor = submitit.SlurmExecutor(_folder(self._order))
        executor.update_parameters(**self._parameters())
        executor.parameters["map_count"] = self._order.workers
        self._job = str(_submit(executor, self._order).job_id)
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel what waits, let go of what runs, and after a while cancel that too."""
        if not self._left:
            return
        self._cancel("--state=PENDING")
        self._cancel("--signal=HUP")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._left and time.monotonic() < deadline:
            time.sleep(0.5)
            self._look()
        if self._left:
            self._cancel()

    @property
    def place(self) -> str:
        """The array job."""
        return f"array job {self._job} of Slurm"

    @property
    def is_working(self) -> bool:
        """Whether any task of the array was left when last asked."""
        return bool(self._left)

    def ended(self) -> list[Ended]:
        """Return the workers that have ended since last asked."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return []
        over = [Ended(number, self._reason(number, state)) for number, state in self._look().items()]
        if not self._is_done and any(not each.reason for each in over):
            self._is_done = True
            self._cancel("--state=PENDING")
        return over

    def log(self, number: int) -> Path:
        """Return the file that holds what a worker said."""
        return self._order.logs / f"{self._job}_{number - 1}_0_log.out"

    def _parameters(self) -> dict[str, Any]:
        """Return submitit's parameters. Without a time it is the partition's: the job goes back in the queue then."""
        given = {key: value for key, value in self._options.items() if key not in {"cluster", *EXTRA}}
        if "setup" in given:
            given["setup"] = [given["setup"]]
        more = {key: self._options[key] for key in EXTRA & self._options.keys()}
        own = {"job_name": "nas-worker", "time": None, "cpus_per_task": self._order.threads, "stderr_to_stdout": True}
        gpu = {"gpus_per_node": 1} if self._order.device != "cpu" and not {"gres", "gpus_per_node"} & set(given) else {}
        return {**own, **gpu, **given, "additional_parameters": {"requeue": True, **more}}

    def _look(self) -> dict[int, str]:
        """Return the state of each task that is no longer left, and strike them off."""
        self._looked = time.monotonic()
        states = _states(self._job)
        if states is None:  # the server does not answer: nothing is known, and the jobs do not depend on it
            return {}
        over = {number: states.get(number, GONE) for number in self._left}
        over = {number: state for number, state in over.items() if state in FINAL | {GONE}}
        self._left -= set(over)
        return over

    def _reason(self, number: int, state: str) -> str:
        fine = {COMPLETED, GONE, *(["CANCELLED"] if self._is_done else [])}
        return verdict(self.log(number)) or ("" if state in fine else f"Slurm says {state}")

    def _cancel(self, *options: str) -> None:
        subprocess.run(["scancel", *options, self._job], check=False, capture_output=True)


class LocalCrew:
    """Workers under submitit's executor of this machine, which does as Slurm would: to try things out."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._jobs: dict[int, Any] = {}
        self._logs: dict[int, Path] = {}

    def __enter__(self) -> Self:
        """Start a controller of submitit's for each worker, which does not hear Ctrl-C: the relay below it does."""
        import submitit

        executor = submitit.LocalExecutor(_folder(self._order))
        gpus = 0 if self._order.device == "cpu" else 1
        executor.update_parameters(timeout_min=MOST_MINUTES, gpus_per_node=gpus, stderr_to_stdout=True)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for number in range(1, self._order.workers + 1):
                self._jobs[number] = _submit(executor, self._order)
                self._logs[number] = Path(self._jobs[number].paths.stdout)
        finally:
            signal.signal(signal.SIGINT, before)
        return self

    def __exit__(self, *_: object) -> None:
        """Have the controllers pass it on that their workers are let go, and wait for them."""
        processes = [job._process for job in self._jobs.values()]
        for process in processes:
            process.terminate()
        for process in processes:
            see_off(process)

    @property
    def place(self) -> str:
        """This machine."""
        return "submitit's executor of this machine"

    @property
    def is_working(self) -> bool:
        """Whether any worker was still there when last asked."""
        return bool(self._jobs)

    def ended(self) -> list[Ended]:
        """Return the workers that have ended since last asked."""
        over = [number for number, job in self._jobs.items() if job.done()]
        for number in over:
            del self._jobs[number]
        return [Ended(number, verdict(self.log(number))) for number in over]

    def log(self, number: int) -> Path:
        """Return the file that holds what a worker said."""
        return self._logs[number]


def _folder(order: Order) -> Path:
    order.logs.mkdir(parents=True, exist_ok=True)
    return order.logs.resolve()


def _submit(executor: Any, order: Order) -> Any:
    """Hand the relay's command to an executor of submitit and return its job; NasError where it is not taken."""
    from submitit.helpers import environment_variables

    command = shlex.join([sys.executable, "-u", "-m", "nas.launch.relay", *order.arguments])
    threads = {"OMP_NUM_THREADS": str(order.threads)}
    try:
        with environment_variables(**threads, **order.environment):
            return executor._submit_command(command)
    except Exception as error:  # noqa: BLE001  submitit's own classes, whose text is all that the program said
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise NasError(f"--launcher slurm: the job was not taken: {lines[-1] if lines else error}") from None


def _states(job: str) -> dict[int, str] | None:
    """Return the state of each task of an array that Slurm knows, by the worker's number; None where it is silent."""
    fields = "--Format=ArrayTaskID:20,State:20"
    asked = subprocess.run(
        ["squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", fields],
        check=False,
        capture_output=True,
        text=True,
    )
    if asked.returncode:
        return {} if "Invalid job id" in asked.stderr else None
    rows = [line.split() for line in asked.stdout.splitlines()]
    return {int(row[0]) + 1: row[1] for row in rows if len(row) == 2 and row[0].isdecimal()}
