"""The few most important metrics of a record, chosen by the abilities of the model."""

from collections.abc import Iterable, Sequence

from genlab.evaluation.record import Record

MOST = 5
_ORDER: tuple[tuple[str, ...], ...] = (
    ("PSNR-Y",),
    ("PSNR", "squared_error", "PSNR-translation"),
    ("PSNR-mean_colour",),
    ("PSNR-nearest",),
    ("changed-to_second",),
    ("changed-to_first",),
    ("error_inside-to_second",),
    ("error_inside-to_second-pixels",),
    ("negative_elbo", "negative_bound", "score"),
    ("FD",),
    ("precision",),
    ("recall", "KID"),
    ("class_accuracy",),
    ("probe_accuracy",),
    ("copies", "nearest_training"),
    ("SSIM-Y",),
    ("distance",),
    ("MIG",),
)
"""Each line names one metric, and its substitutes if it was not measured."""
_SUFFIXED = ("negative_bound", "FD", "precision", "recall", "KID", "distance")
"""Metrics whose name ends with the features, or with the number of samples."""


def main_metrics(record: Record) -> list[str]:
    """Return the names of the main metrics of a record's last checkpoint: at most five, the most telling first."""
    return main_of(list(record["last"]["metrics"]))


def main_of(names: Sequence[str]) -> list[str]:
    """Return the main ones of these metrics: at most five, the most telling first."""
    chosen = [_first(names, heads) for heads in _ORDER]
    return [name for name in chosen if name][:MOST] or list(names[:MOST])


def _first(names: Iterable[str], heads: Iterable[str]) -> str | None:
    """Return the first name that belongs to the earliest of these heads."""
    names = list(names)
    for head in heads:
        found = [name for name in names if name == head or (head in _SUFFIXED and name.startswith(f"{head}-"))]
        if found:
            return found[0]
    return None
