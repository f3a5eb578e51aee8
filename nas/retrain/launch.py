"""Several processes on this machine, started by torch's elastic launcher as `torchrun` does."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from nas.errors import InputError, NasError


def launch(arguments: Sequence[str], processes: int) -> None:
    """Run `nas` with these arguments in so many processes that train together; NasError where one fails."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id="nas",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "nas", *arguments)
    except ChildFailedError as error:
        codes = {failure.exitcode for failure in error.failures.values()}
        kind = InputError if 2 in codes else NasError
        raise kind(f"{len(error.failures)} of {processes} processes failed; the line above says why") from None
