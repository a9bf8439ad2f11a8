"""Starts the processes that train one run together."""

import logging
import os
import signal
import sys
import uuid

from genlab.registry import ConfigError


def start(processes: int, arguments: list[str]) -> int:
    """Run `genlab` with these arguments in so many processes of this machine, as torchrun does; return the exit code.

    Ctrl-C reaches the processes through this one, and they save a checkpoint before they end.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Two threads in each of two processes on two cores are several times slower than one.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    # The processes say themselves what is wrong.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "genlab", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode == -signal.SIGKILL:
            raise ConfigError(
                f"Process {rank} of {processes} was killed. Perhaps the memory was full: each process holds the data. "
                "Repeat the command with run=FOLDER of this run to continue it."
            ) from None
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0
