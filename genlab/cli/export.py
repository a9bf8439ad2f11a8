"""`genlab export`: a trained model as ONNX files, as archives of torch.export, or as a folder for the hub."""

from enum import StrEnum
from typing import Annotated

import typer

from genlab.cli import lab, options


class ExportFormat(StrEnum):
    """The formats of an export."""

    onnx = "onnx"
    torch = "torch"
    hub = "hub"


def export(
    name: options.RunName,
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="onnx: files for onnxruntime; torch: archives of torch.export; hub: a folder for the Hugging Face Hub "
            "with weights, config and model card.",
        ),
    ] = ExportFormat.onnx,
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            metavar="ABILITY,...",
            help="Export only these abilities (default: all): reconstruct, encode, decode, sample, score, upscale, "
            "infer.",
        ),
    ] = None,
    prior: options.PriorUsed = options.Prior.auto,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    trust: options.Trusted = False,
) -> None:
    """Export a model for other programs: genlab export latest --format onnx"""
    run = lab.opened(name, checkpoint, "cpu", trust)
    from genlab.lab.export.export import export as write

    results = lab.results(run, "export", out)
    names = [name for part in (only or "").split(",") if (name := part.strip())]
    if only is not None and not names:
        raise typer.BadParameter("--only names at least one ability, such as decode.")
    write(run, form.value, results, only=names, prior=prior.value)
    lab.finish(results)
