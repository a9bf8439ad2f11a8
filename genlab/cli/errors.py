"""Turns errors into a sentence for the user and an exit code."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def sentences() -> Iterator[None]:
    """Print errors without a traceback and exit: 2 for a user's mistake, 1 for a failed run, 130 for Ctrl-C.

    Other exceptions are bugs of genlab and keep their traceback.
    """
    from genlab.registry import ConfigError, RunError

    try:
        yield
    except (ConfigError, RunError) as error:
        if message := _message(error):
            print(message, file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except BrokenPipeError:  # typer ends the program quietly, as `genlab list models | head` expects
        raise
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        print(f"I/O error: {error.strerror or error}{place}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):  # typer.Abort: Ctrl-C at a question
        if os.environ.get("RANK", "0") == "0":
            print("Interrupted.", file=sys.stderr)
        sys.exit(130)


def _message(error: Exception) -> str:
    """Return the text of an error; of several processes only the first one reports what all of them have found.

    All of them find the error of a run, or it says that another one has ended.
    """
    from genlab.registry import RunError

    if "RANK" not in os.environ:
        return str(error)
    from genlab import distributed

    if distributed.first():
        distributed.say_first(str(error))
        return str(error)
    if isinstance(error, RunError) or distributed.first_says(str(error)):
        return ""
    return f"Process {os.environ['RANK']}: {error}"


def quietly(failure: threading.ExceptHookArgs) -> None:
    """Hide the OSError of a thread: TensorBoard's writer raises it again in the main thread at the next write."""
    if not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)
