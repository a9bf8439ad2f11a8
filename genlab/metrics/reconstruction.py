"""How near what a model gives back comes to what it was shown."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from genlab.contract import Reconstructs
from genlab.metrics.averages import Averages
from genlab.metrics.pixels import ms_ssim, psnr, scales, ssim

# Numbers at once: the activations of a network and the thirty planes of SSIM are many times as large.
_AT_ONCE = 2**20


@torch.no_grad()
def errors(model: Reconstructs, batches: Iterable[Tensor]) -> dict[str, float]:
    """`squared_error` and `absolute_error`, over pixels and images; of images that are no points `likeness` besides."""
    averages = Averages()
    for images in in_parts(batches):
        made = model.reconstruct(images)
        difference = (made - images).flatten(1)
        averages.add({"squared_error": difference.square().mean(1), "absolute_error": difference.abs().mean(1)})
        if images.shape[2] > 1:
            averages.add(likeness(made, images), but_infinite=True)
    return averages.read()


def likeness(made: Tensor, images: Tensor) -> dict[str, Tensor]:
    """`PSNR`, `SSIM` and `MS-SSIM` of each image, the last two where its windows fit.

    The PSNR of two equal images is infinite; such a pair is in no mean.
    """
    found, fitting = {"PSNR": psnr(made, images)}, scales(*images.shape[2:])
    if fitting > 0:
        found["SSIM"] = ssim(made, images)
    if fitting > 1:
        found["MS-SSIM"] = ms_ssim(made, images)
    return found


def in_parts(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same images, so few at once that even large ones take little memory."""
    for images in batches:
        yield from torch.split(images, max(1, _AT_ONCE // images[0].numel()))
