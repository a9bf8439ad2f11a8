"""ONNX files, which onnxruntime runs without torch and without genlab."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from genlab.lab.export.graphs import Graph
from genlab.lab.export.trace import TraceError, difference, first_line, quiet
from genlab.registry import ConfigError

SUFFIX = ".onnx"
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def refuse_missing() -> None:
    """Raise a ConfigError if a package of the extra is not installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"Packages are not installed: {', '.join(missing)}. Run pip install 'genlab[export]'.")


def write(program: ExportedProgram, graph: Graph, path: Path) -> dict[str, Any]:
    """Write a program as an ONNX file; return facts for export.json."""
    errors = list[Exception]()
    # The exporter fails at some operations, such as a cross-entropy of each item, unless these are taken apart first.
    for apart in (False, True):
        try:
            with quiet(), contextlib.redirect_stdout(io.StringIO()):
                exported = _exported(program.run_decompositions() if apart else program, graph)
                exported.save(path)
            return {"opset": exported.model.opset_imports[""]}
        except Exception as error:  # the exporter raises its own errors, and those of three libraries
            errors.append(error)
    raise TraceError(first_line(errors[0])) from errors[0]


def _exported(program: ExportedProgram, graph: Graph) -> torch.onnx.ONNXProgram:
    inputs, outputs = ([port.name for port in ports] for ports in (graph.inputs, graph.outputs))
    exported = torch.onnx.export(program, input_names=inputs, output_names=outputs, dynamo=True, verbose=False)
    assert exported is not None
    return exported


def check(path: Path, graph: Graph) -> float:
    """Run a file by onnxruntime and return its largest difference from the model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [port.name for port in graph.inputs]

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        feed = {name: values.numpy() for name, values in zip(names, inputs, strict=True)}
        return [torch.from_numpy(values) for values in session.run(None, feed)]

    return difference(graph, run)


def versions() -> dict[str, str]:
    """Return the versions of the libraries that wrote and checked the files."""
    return {name: version(name) for name in _PACKAGES}
