"""`genlab compare`: runs side by side."""

from typing import Any

from genlab.cli import options


def compare(
    runs: options.Runs,
    sort: options.SortBy = None,
    metrics: options.MetricNames = "",
    checkpoint: options.Checkpoint = options.Which.last,
    out: options.ComparisonFolder = None,
    form: options.Printed = options.Format.text,
    trust: options.Trusted = False,
) -> None:
    """Compare runs: settings, metrics, cost and samples."""
    from genlab.comparison import compare as comparison

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    chosen: dict[str, Any] = {"by": sort, "metrics": names, "out": out, "form": form.value}
    comparison.compare(runs, checkpoint=checkpoint.value, trust=options.trust(trust), **chosen)
