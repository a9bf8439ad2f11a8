"""Sharpness: the strength of the edges and textures of samples, compared with that of real images."""

from torch import Tensor


def edge_strength(images: Tensor) -> Tensor:
    """Return the mean absolute Laplacian of each image: how far pixels are from the mean of their four neighbours.

    It is 0 for a flat image and for an even slope. An image without inner pixels has no edges.
    """
    inner = images[..., 1:-1, 1:-1]
    if not inner.numel():
        return images.new_zeros(len(images))
    neighbours = images[..., :-2, 1:-1] + images[..., 2:, 1:-1] + images[..., 1:-1, :-2] + images[..., 1:-1, 2:]
    return (4 * inner - neighbours).abs().flatten(1).mean(1)


def sharpness(generated: Tensor, real: Tensor) -> dict[str, float]:
    """Return the mean edge strength of samples, divided by that of real images, given those of each image.

    Below 1, samples are blurred. Above 1, they have more edges or noise than real images.
    """
    wanted = real.double().mean()
    return {"sharpness": float(generated.double().mean() / wanted)} if len(real) and wanted > 0 else {}
