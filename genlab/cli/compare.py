"""`genlab compare`: runs side by side."""

from typing import Any

import typer

from genlab.cli import options


def compare(
    runs: options.Runs,
    sort: options.SortBy = None,
    metrics: options.MetricNames = "",
    every: options.EveryMetric = False,
    checkpoint: options.Checkpoint = options.Which.last,
    out: options.ComparisonFolder = None,
    form: options.Printed = options.Format.text,
    trust: options.Trusted = False,
) -> None:
    """Compare runs: settings, metrics, cost and samples."""
    from genlab.comparison import compare as comparison

    if every and metrics:
        raise typer.BadParameter("--metrics chooses the metrics, and --all prints all of them; leave out one.")
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    chosen: dict[str, Any] = {"by": sort, "metrics": names, "every": every, "out": out, "form": form.value}
    comparison.compare(runs, checkpoint=checkpoint.value, trust=options.trust(trust), **chosen)
