"""`genlab detect`: the items that a trained model finds most anomalous."""

from typing import TYPE_CHECKING, Annotated

import typer

from genlab.cli import lab, options

if TYPE_CHECKING:
    from genlab.lab.detect import Detection

_NAMED = 5
"""The most anomalous items that are printed."""


def detect(
    name: options.RunName,
    paths: options.Items = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="WAY",
            help="error: of the reconstruction; smooth: the same, averaged over 3 x 3 pixels first; code: distance to "
            "the nearest training codes; combined: smooth and code; score: negative score in nats.",
        ),
    ] = "error",
    calibrate: Annotated[
        float | None,
        typer.Option(
            "--calibrate", metavar="RATE", help="Flag items above a threshold with this rate of false alarms."
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", metavar="VALUE", help="Flag items whose score is above this.")
    ] = None,
    normal: Annotated[
        list[str] | None,
        typer.Option(
            "--normal",
            metavar="CLASS",
            help="Normal class, by name or number; repeat it for several. Of files, the folder is the class "
            "(default: the classes of data.keep).",
            show_default=False,
        ),
    ] = None,
    count: options.UsedItems = 10_000,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
    data: options.DataPlace = None,
) -> None:
    """Find anomalies: genlab detect latest photos/ --calibrate 0.05"""
    run = lab.opened(name, checkpoint, device, trust, data)
    from genlab.cli import tables
    from genlab.lab.detect import check
    from genlab.lab.detect import detect as find
    from genlab.lab.given import given
    from genlab.lab.run import at_least

    check(run, by, calibrate, threshold)
    results = lab.results(run, "detect", out)
    items = given(run, paths or None, count=at_least(1, "count", count), skip_bad=True)
    found = find(run, items, by=by, calibrate=calibrate, threshold=threshold, normal=normal or ())
    if found.metrics:
        tables.terminal().print(tables.methods_table(found.metrics))
    _say(found)
    found.write(results)
    lab.finish(results, items)


def _say(found: "Detection") -> None:
    """Print the most anomalous items, the threshold, and the number of flagged items."""
    print("Most anomalous:")
    for place in found.order[:_NAMED].tolist():
        label = f"  ({found.labels[place]})" if found.labels else ""
        print(f"  {found.scores[place]:.4g}  {found.given.names[place]}{label}")
    if (known := found.calibration) is not None:
        print(
            f"The threshold {known.threshold:.9g} flags at most {100 * known.rate:.3g} % of normal items "
            f"(std {100 * known.std:.2g}), calibrated with {known.count:,} normal validation {found.kind.plural}.\n"
            f"Use it again: --by {found.by} --threshold {known.threshold:.9g}"
        )
    if found.flagged is not None:
        print(f"{int(found.flagged.sum()):,} of {len(found.flagged):,} {found.kind.plural} are flagged.")
    print(*found.notes, sep="\n", end="\n" if found.notes else "")
