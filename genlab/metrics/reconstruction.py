"""Reconstruction: errors of any items, and the similarity of images."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from genlab.contract import Batch, Reconstructs
from genlab.metrics.averages import Averages
from genlab.metrics.pixels import ms_ssim, psnr, scales, ssim

# Numbers in a part; the activations of a network and the thirty planes of SSIM take many times as much.
_AT_ONCE = 2**20

ItemMetric = Callable[[Tensor, Tensor], dict[str, Tensor]]
"""Takes reconstructions and true items; returns one value for each item, by the name of the metric."""


@torch.no_grad()
def measure(model: Reconstructs, batches: Iterable[Batch], *metrics: ItemMetric) -> dict[str, float]:
    """Reconstruct each batch once, and return the means of the metrics over all items."""
    averages = Averages(skip_infinite=("PSNR",))
    for batch in in_parts(batches):
        reconstructed = model.reconstruct(batch)
        for metric in metrics:
            averages.add(metric(reconstructed, batch["x"]))
    return averages.read()


def errors(reconstructed: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Return the mean `squared_error` and `absolute_error` of each item."""
    difference = (reconstructed - truth).flatten(1)
    return {"squared_error": difference.square().mean(1), "absolute_error": difference.abs().mean(1)}


def image_similarity(reconstructed: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Return `PSNR`, `SSIM` and `MS-SSIM` of each image; SSIM and MS-SSIM only for images that hold their windows."""
    found, fitting = {"PSNR": psnr(reconstructed, truth)}, scales(*truth.shape[2:])
    if fitting > 0:
        found["SSIM"] = ssim(reconstructed, truth)
    if fitting > 1:
        found["MS-SSIM"] = ms_ssim(reconstructed, truth)
    return found


def equal_symbols(reconstructed: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Return the share of equal symbols of each token sequence; places where both are padding (0) are left out."""
    counted = (reconstructed != 0) | (truth != 0)
    equal = ((reconstructed == truth) & counted).sum(1)
    return {"equal_symbols": torch.where(counted.any(1), equal / counted.sum(1).clamp_min(1), 1.0)}


def in_parts(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Split batches so that even large items take little memory."""
    for batch in batches:
        size = max(1, _AT_ONCE // batch["x"][0].numel())
        columns = {name: torch.split(values, size) for name, values in batch.items()}
        for parts in zip(*columns.values(), strict=True):
            yield dict(zip(columns, parts, strict=True))
