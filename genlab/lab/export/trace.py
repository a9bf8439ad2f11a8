"""Traces graphs with torch.export, and compares what was exported with the model."""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from genlab.lab.export.graphs import EXAMPLE, SIZES, Graph

BOUND = 1e-4
"""Largest difference between an exported file and the model; a file above it is refused."""
_LOUD = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "torch._dynamo", "torch.fx")


class TraceError(Exception):
    """The reason why torch cannot trace a graph, as one line."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the remarks of the exporters inside a `with` block; errors are still raised."""
    levels = {name: logging.getLogger(name).level for name in _LOUD}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def traced(graph: Graph) -> ExportedProgram:
    """Return a graph as a program of torch with free sizes and without unused weights."""
    program = _traced(graph, graph.module)
    unused = _unused(program)
    if not unused:
        return program
    # For example those of a discriminator, or of a feature network.
    slim = copy.deepcopy(graph.module)
    for name, part in slim.named_modules():
        for tensors in (part._parameters, part._buffers):
            for key, values in tensors.items():
                if values is not None and (f"{name}.{key}" if name else key) in unused:
                    tensors[key] = _emptied(values)
    return _traced(graph, slim)


def _traced(graph: Graph, module: nn.Module) -> ExportedProgram:
    inputs = graph.example(EXAMPLE)
    free = {name: Dim(name) for port in graph.inputs for name in port.shape if isinstance(name, str)}
    dims = tuple(
        {place: free[side] for place, side in enumerate(port.shape) if isinstance(side, str)} for port in graph.inputs
    )
    errors = list[Exception]()
    # Strict tracing understands more of Python, such as len(x), and fails where the other way works.
    for strict in (False, True):
        try:
            with quiet(), torch.no_grad():
                return torch.export.export(module, inputs, dynamic_shapes=(dims,), strict=strict)
        except Exception as error:  # a plugin's model may raise anything, and torch has many errors of its own
            errors.append(error)
    raise TraceError(first_line(errors[0]))


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, with its type; of the error that caused it, if there is one."""
    error = error.__cause__ if isinstance(error.__cause__, Exception) else error
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".rstrip(": ")


def _unused(program: ExportedProgram) -> set[str]:
    """Return the names of the weights and buffers that no operation reads."""
    held = {**program.graph_signature.inputs_to_parameters, **program.graph_signature.inputs_to_buffers}
    idle = {node.name for node in program.graph.nodes if node.op == "placeholder" and not node.users}
    return {held[name] for name in idle & held.keys()}


def _emptied(values: Tensor) -> Any:
    empty = values.new_empty(0)
    return nn.Parameter(empty, requires_grad=False) if isinstance(values, nn.Parameter) else empty


def difference(graph: Graph, run: Callable[[Sequence[Tensor]], Sequence[Tensor]]) -> float:
    """Return the largest difference between the outputs of `run` and those of the model, at all SIZES.

    It is absolute for values up to 1, such as pixels, and relative to the largest value of an output above that.
    """
    worst = 0.0
    for sizes in SIZES:
        inputs = graph.example(sizes)
        for wanted, found in zip(graph.expected(inputs), run(inputs), strict=True):
            worst = max(worst, _difference(wanted, found))
    return worst


def _difference(wanted: Tensor, found: Tensor) -> float:
    if wanted.shape != found.shape or wanted.dtype != found.dtype:
        return math.inf
    largest = max(1.0, float(wanted.abs().max()))
    distance = float((wanted.double() - found.double()).abs().max()) / largest
    # A number that is not finite never counts as equal.
    return distance if math.isfinite(distance) else math.inf
