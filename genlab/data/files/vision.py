"""The only file that imports torchvision, also beside a torch that it was not built for."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch


def torchvision() -> ModuleType:
    """Return torchvision with its data sets, transforms and models; `io` and `ops` may lack operators."""
    with _missing_operators_skipped():
        import torchvision

    module: ModuleType = torchvision
    return module


@contextmanager
def _missing_operators_skipped() -> Iterator[None]:
    """Skip operators that torchvision, built against CUDA, registers and that a CPU-only torch has not loaded."""
    register = torch.library.register_fake

    def lenient(operator: Any, *arguments: Any, **options: Any) -> Any:
        decorate = register(operator, *arguments, **options)
        if arguments or not callable(decorate):
            return decorate

        def attempt(function: Any) -> Any:
            try:
                return decorate(function)
            except RuntimeError as error:
                if "does not exist" not in str(error):
                    raise
                return function

        return attempt

    torch.library.register_fake = lenient
    try:
        yield
    finally:
        torch.library.register_fake = register
