"""The one place that imports torchvision, also beside a torch that it was not built for."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch


def torchvision() -> ModuleType:
    """torchvision: its data sets, transforms and models; where its operators did not load, not `io` and `ops`."""
    with _absent_operators_passed_over():
        import torchvision

    module: ModuleType = torchvision
    return module


@contextmanager
def _absent_operators_passed_over() -> Iterator[None]:
    """A torchvision built against CUDA describes operators that a CPU-only torch has not loaded; skip those."""
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
