"""`genlab explore`: a local page on which one explores a trained model."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genlab.cli import lab, options

if TYPE_CHECKING:
    from genlab.lab.run import Run


def explore(
    name: options.RunName,
    port: Annotated[int, typer.Option("--port", help="Port of the page; the next free one if it is in use.")] = 8765,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; 0.0.0.0 lets other computers in.")
    ] = "127.0.0.1",
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A further host name of this computer for the page."),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the page into this HTML file, which needs no server."),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(
            "--runtime",
            metavar="FILE.tgz|FOLDER",
            help="onnxruntime-web, with which the page of --out decodes any code; get it with "
            "`npm pack onnxruntime-web@1.30.0` (default: the page shows a grid of decoded places).",
        ),
    ] = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FOLDER", help="Folder of the data, if it has moved since then.")
    ] = None,
) -> None:
    """Explore a model on a local page: genlab explore latest"""
    if out is not None:
        _write(lab.opened(name, checkpoint, "cpu", trust, data), out, runtime)
        return
    if runtime is not None:
        raise typer.BadParameter("--runtime is for a page that is written into a file; add --out page.html.")
    from genlab.explore.start import check_installed, explore

    check_installed()
    run = lab.opened(name, checkpoint, device, trust, data)
    try:
        explore(run, host=host, port=port, names=allow or (), browser=browser)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr, flush=True)
        # A thread may still compute, and torch aborts a process whose interpreter ends meanwhile. Nothing is written.
        os._exit(130)


def _write(run: "Run", out: Path, runtime: Path | None) -> None:
    """Write the page into a file."""
    from genlab.explore.runtime import read
    from genlab.explore.standalone import write_page

    files = None if runtime is None else read(runtime)
    written = write_page(run, out, files)
    print(f"{written.path} ({written.size / 1e6:.1f} MB). Open it in a browser.")
    print(written.note)
