"""scikit-learn's two photographs, as models see them."""

from functools import cache

import torch
from torch import Tensor


@cache
def photographs() -> tuple[Tensor, Tensor]:
    """A temple in China and a flower, 1 x 3 x 424 x 640 each: as many rows as 2, 4 and 8 divide."""
    from sklearn.datasets import load_sample_images

    china, flower = (torch.from_numpy(picture.copy()) for picture in load_sample_images().images)
    return china.permute(2, 0, 1)[None, :, :424] / 255, flower.permute(2, 0, 1)[None, :, :424] / 255
