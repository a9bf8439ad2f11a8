"""Denoising of images: PSNR and SSIM of a model, beside filters that are not trained."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from genlab.contract import Batch, Reconstructs
from genlab.metrics.averages import Averages
from genlab.metrics.filters import PATCH, median, non_local_means
from genlab.metrics.pixels import WINDOW, psnr, ssim
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
            cleaned = {"": model.reconstruct({**batch, "x": noisy}), **_filtered(noisy, level)}
            for suffix, candidate in cleaned.items():
                averages.add(_similarity(candidate, images, f"noise-{level:g}{suffix}"))
        first += len(images)
    return averages.read()


def _filtered(noisy: Tensor, level: float) -> dict[str, Tensor]:
    """Return the noisy images and the filtered ones by their suffix; non-local means needs room for half a patch."""
    filtered = {"-input": noisy, "-median": median(noisy)}
    if min(noisy.shape[2:]) > PATCH // 2:
        filtered["-nlmeans"] = non_local_means(noisy, level)
    return filtered


def _similarity(cleaned: Tensor, images: Tensor, name: str) -> dict[str, Tensor]:
    cleaned = cleaned.clamp(0, 1)
    found = {f"PSNR-{name}": psnr(cleaned, images)}
    if min(images.shape[2:]) >= WINDOW:
        found[f"SSIM-{name}"] = ssim(cleaned, images)
    return found
