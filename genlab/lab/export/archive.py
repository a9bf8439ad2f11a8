"""Archives of torch.export: a program that torch runs without genlab."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from genlab.lab.export.graphs import Graph
from genlab.lab.export.trace import difference, quiet

SUFFIX = ".pt2"


def write(program: ExportedProgram, graph: Graph, path: Path) -> dict[str, Any]:
    """Write a program as an archive; return facts for export.json."""
    with quiet():
        torch.export.save(program, path)
    return {}


def check(path: Path, graph: Graph) -> float:
    """Load an archive again and return its largest difference from the model."""
    with quiet():
        module = torch.export.load(path).module()

    @torch.no_grad()
    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        outputs = module(*inputs)
        return list(outputs) if isinstance(outputs, tuple) else [outputs]

    return difference(graph, run)


def versions() -> dict[str, str]:
    """Return the versions of the libraries that wrote the archive."""
    return {}
