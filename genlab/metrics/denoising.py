"""How much of the noise in an image a model takes away, beside filters that have learnt nothing."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from genlab.contract import Reconstructs
from genlab.metrics.averages import Averages
from genlab.metrics.filters import PATCH, median, non_local_means
from genlab.metrics.noise import noise_of_images
from genlab.metrics.pixels import WINDOW, psnr, ssim
from genlab.metrics.reconstruction import in_parts
from genlab.registry import ConfigError

LEVELS = (0.1, 0.3, 0.5)
"""The standard deviations of the noise, where white is 1."""


@torch.no_grad()
def denoised(
    model: Reconstructs,
    batches: Iterable[Tensor],
    seed: int,
    levels: Sequence[float] = LEVELS,
) -> dict[str, float]:
    """PSNR and SSIM against the clean image of what the model makes of a noisy one: `PSNR-noise-0.3`, say.

    After it come `-input` for the noisy image itself, `-median` and `-nlmeans`, which no model changes. All get the
    noise whole, as a denoising autoencoder does while it learns; only what is compared is brought into [0, 1]. Nothing
    of this means anything for points, which get no figure.
    """
    if wrong := [level for level in levels if not level > 0]:
        raise ConfigError(f"The levels of noise must be above 0, and {wrong[0]:g} is not.")
    averages, number = Averages(), 0
    for images in in_parts(batches):
        if images.shape[2] == 1:
            return {}
        for level in levels:
            noise = noise_of_images(seed, f"denoise/{level:g}", number, len(images), *images.shape[1:])
            noisy = images + level * noise.to(images.device)
            made = {"": model.reconstruct(noisy), **_filtered(noisy, level)}
            for name, cleaned in made.items():
                averages.add(_likeness(cleaned, images, f"noise-{level:g}{name}"), but_infinite=True)
        number += len(images)
    return averages.read()


def _filtered(noisy: Tensor, level: float) -> dict[str, Tensor]:
    """What needs no model, by the end of its name; a patch of non-local means must find room to be reflected."""
    made = {"-input": noisy, "-median": median(noisy)}
    if min(noisy.shape[2:]) > PATCH // 2:
        made["-nlmeans"] = non_local_means(noisy, level)
    return made


def _likeness(cleaned: Tensor, images: Tensor, name: str) -> dict[str, Tensor]:
    cleaned = cleaned.clamp(0, 1)
    found = {f"PSNR-{name}": psnr(cleaned, images)}
    if min(images.shape[2:]) >= WINDOW:
        found[f"SSIM-{name}"] = ssim(cleaned, images)
    return found
