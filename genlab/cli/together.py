"""Starts the processes that train one run together."""

import logging
import os
import signal
import sys
import uuid

from genlab.registry import RunError

_PATIENCE = 24 * 60 * 60
"""Seconds that processes have to end after a signal: a second Ctrl-C ends them at once."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""The signals that torchrun handles, and does not let go of."""
_CONTINUE = "The checkpoints so far are intact. Repeat the command with run=FOLDER of this run to continue it."


def start(processes: int, arguments: list[str]) -> int:
    """Run `genlab` with these arguments in so many processes of this machine, as torchrun does; return the exit code.

    Ctrl-C reaches the processes through this one, and they save a checkpoint before they end.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Two threads in each of two processes on two cores are several times slower than one.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    # torchrun kills processes that are still busy after 30 seconds, in the middle of a long step or a measurement.
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_PATIENCE))
    # The processes say themselves what is wrong. torch sets the level of each of its loggers again, so that of one
    # logger would not hold.
    logging.disable(logging.CRITICAL)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
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
        elastic_launch(config, sys.executable)(*_isolation(), "-m", "genlab", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            raise RunError(f"Process {rank} of {processes} {_end(-failure.exitcode)} {_CONTINUE}") from None
        return failure.exitcode
    except SignalException as error:
        return 128 + int(error.sigval)
    finally:
        logging.disable(logging.NOTSET)
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _isolation() -> list[str]:
    """Return the option of Python that hides the modules in the current folder, unless this process sees them, too."""
    return [] if {"", os.getcwd()} & set(sys.path) else ["-P"]


def _end(number: int) -> str:
    """Return what a signal has done to a process, as the end of a sentence."""
    if number == signal.SIGKILL:
        return "was killed. Perhaps the memory was full: each process holds the data."
    return f"was ended by the signal {signal.Signals(number).name}."
