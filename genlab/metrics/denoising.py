"""Denoising of images: PSNR and SSIM of a model, beside filters that are not trained."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from genlab.contract import Batch, Reconstructs
from genlab.metrics.averages import Averages
from genlab.metrics.filters import PATCH, median, non_local_means
from genlab.metrics.pixels import psnr_and_ssim
from genlab.metrics.reconstruction import in_parts
from genlab.randomness import normal_rows
from genlab.registry import ConfigError

LEVELS = (0.1, 0.3, 0.5)
"""The std of the noise; white is 1."""


@torch.no_grad()
def denoised(
    model: Reconstructs,
    batches: Iterable[Batch],
    seed: int,
    levels: Sequence[float] = LEVELS,
) -> dict[str, float]:
    """Return PSNR and SSIM of reconstructed noisy images against the clean ones, for example `PSNR-noise-0.3`.

    The suffix `-input` stands for the noisy image itself, `-median` and `-nlmeans` for the filters. Inputs are not
    clamped, as in the training of a denoising autoencoder; outputs are clamped to [0, 1] before they are compared.
    """
    if wrong := [level for level in levels if not level > 0]:
        raise ConfigError(f"Noise levels must be above 0, got {wrong[0]:g}.")
    averages, first = Averages(skip_infinite=("PSNR",)), 0
    for batch in in_parts(batches):
        images = batch["x"]
        for level in levels:
            noise = normal_rows(seed, f"denoise/{level:g}", first, len(images), *images.shape[1:])
            noisy = images + level * noise.to(images.device)
            candidates = {"": model.reconstruct({**batch, "x": noisy}), "-input": noisy}
            candidates |= {f"-{name}": cleaned for name, cleaned in filtered(noisy, level).items()}
            for suffix, candidate in candidates.items():
                found = psnr_and_ssim(candidate.clamp(0, 1), images)
                averages.add({f"{name}-noise-{level:g}{suffix}": values for name, values in found.items()})
        first += len(images)
    return averages.read()


def filtered(noisy: Tensor, level: float) -> dict[str, Tensor]:
    """Clean noisy images by the `median` and by `nlmeans`, which is told the std of the noise.

    Non-local means needs room for half a patch; smaller images have only the median.
    """
    found = {"median": median(noisy)}
    if min(noisy.shape[2:]) > PATCH // 2:
        found["nlmeans"] = non_local_means(noisy, level)
    return found
