"""`python -m nas.launch.relay ARGUMENTS`: a worker as a job of Slurm, or of submitit's executor on this machine.

Slurm says with SIGUSR2 that the job's time is nearly up, or that another takes its place: the worker is let go and the
job put back in the queue. What was done is in the study and in the checkpoints; whoever is next goes on from there, the
same job among others. SIGHUP, which a search sends that ends, and SIGINT let the worker go for good. SIGTERM may be
`scancel` or the beginning of a pre-emption: the worker is let go, and Slurm, or Kubernetes, decides what comes of it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

from nas.launch.keep import VERDICT, Keeper

AGAIN = signal.SIGUSR2
TO_ALL = (AGAIN, signal.SIGTERM, signal.SIGHUP)
"""What Slurm sends to every process of a job; the worker hears of it from here alone."""
MOST_GRACE_SECONDS = 600
"""How long a job may stay after SIGTERM: one that ended meanwhile would count as done and not be queued again."""
FAILED, TERMINATED = 1, 128 + signal.SIGTERM


def main() -> None:
    """Keep a worker until it is done; exit with 1 where it could not be kept, with 143 where SIGTERM came before."""
    keeper = Keeper(sys.argv[1:], {}, os.curdir, TO_ALL)
    heard: set[int] = set()

    def hear(number: int, _: FrameType | None) -> None:
        heard.add(number)
        keeper.let_go()

    for number in (*TO_ALL, signal.SIGINT):
        signal.signal(number, hear)
    last = b""
    for last in keeper.said():
        sys.stdout.buffer.write(last)
        sys.stdout.buffer.flush()
    if "SLURM_JOB_ID" in os.environ:
        _await_decision(heard)
    if AGAIN in heard and not heard & {signal.SIGHUP, signal.SIGINT}:
        _requeue()
    elif signal.SIGTERM in heard:
        sys.exit(TERMINATED)
    elif last.startswith(VERDICT.encode()):
        sys.exit(FAILED)


def _await_decision(heard: set[int]) -> None:
    """Stay while all that was heard is SIGTERM."""
    deadline = time.monotonic() + MOST_GRACE_SECONDS
    while heard == {signal.SIGTERM} and time.monotonic() < deadline:
        time.sleep(1)


def _requeue() -> None:
    """Put this job back in the queue, in submitit's way for the place it runs in; on Slurm this ends the process."""
    from submitit import JobEnvironment

    JobEnvironment()._requeue(0)


if __name__ == "__main__":
    main()
