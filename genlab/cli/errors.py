"""What a person reads when a command ends before its time."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def sentences() -> Iterator[None]:
    """A user's mistake is a sentence and exit code 2, a run that failed a sentence and 1; anything else is ours."""
    from genlab.registry import ConfigError, RunError

    try:
        yield
    except (ConfigError, RunError) as error:
        print(error, file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except OSError as error:
        print(f"The system refuses: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


def quietly(failure: threading.ExceptHookArgs) -> None:
    """What the disk refuses to TensorBoard's thread is raised in ours at the next write: one sentence is enough."""
    if not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)
