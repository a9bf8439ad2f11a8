"""Train, measure and use the classic generative models.

```python
import genlab

run = genlab.train("vae", data="fashion-mini", epochs=3)
images = run.sample(64, seed=0)
codes = genlab.load("latest").encode("photos/")
```

Everything is imported when it is first used, so `import genlab` is quick and does not import torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genlab.contract import Model, Result, Turn
    from genlab.lab.api import load, runs, train
    from genlab.lab.run import Run
    from genlab.registry import ConfigError

__version__ = "0.2.0"
__all__ = ["ConfigError", "Model", "Result", "Run", "Turn", "__version__", "load", "runs", "train"]

_HOMES = {
    "ConfigError": "genlab.registry",
    "Model": "genlab.contract",
    "Result": "genlab.contract",
    "Run": "genlab.lab.run",
    "Turn": "genlab.contract",
    "load": "genlab.lab.api",
    "train": "genlab.lab.api",
}


class _Runs(ModuleType):
    """Package `genlab.runs`, which is also the function: importing the package sets `genlab.runs`."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Return all runs below a folder; see genlab.lab.api.runs."""
        return import_module("genlab.lab.api").runs(*arguments, **settings)


import_module("genlab.runs").__class__ = _Runs


if not TYPE_CHECKING:  # with it, type checkers would accept any name

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'genlab' has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        setattr(sys.modules[__name__], name, value)
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
