"""`genlab evaluate`: measure runs on test data."""

import shlex
from pathlib import Path
from typing import Any

from genlab.cli import options


def evaluate(
    runs: options.Runs,
    all_: options.AllMetrics = False,
    features: options.Embedding = None,
    count: options.Count = 10_000,
    importance: options.Importance = 50,
    draws: options.Draws = 3,
    images: options.TestImages = 10_000,
    only: options.Only = None,
    data: options.DataPlace = None,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
) -> None:
    """Measure runs on test data: genlab evaluate latest"""
    from genlab.runs.run import meant

    found = meant(runs)
    from genlab.cli import tables
    from genlab.evaluation import evaluate as evaluation
    from genlab.evaluation.bench import EvaluationSettings
    from genlab.training.engine import choose_device

    parts = () if only is None else tuple(only.split(","))
    settings = EvaluationSettings(
        features=features, count=count, importance=importance, draws=draws, images=images, only=parts
    )

    def tell(record: dict[str, Any]) -> None:
        tables.print_evaluation(record, every=all_)

    evaluation.evaluate(found, settings, choose_device(device), data, tables.console(), tell, options.trust(trust))
    # A pattern such as sweep/* gives plain files, too.
    names = shlex.join(name for name in runs if not Path(name).is_file())
    compare = [f"genlab compare {names}"] if len(found) > 1 else []
    print("Next:", *compare, f"genlab report {names}", sep="\n  ")
