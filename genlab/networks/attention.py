"""Self-attention between the pixels of feature maps."""

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Each pixel adds a weighted mean over all pixels, times `gamma`, which starts at 0 (Zhang et al. 2019).

    Keys and queries have an eighth of the channels and values have half of them, as in the authors' code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        keys, values = max(1, channels // 8), max(1, channels // 2)
        self.query = nn.Conv2d(channels, keys, 1, bias=False)
        self.key = nn.Conv2d(channels, keys, 1, bias=False)
        self.value = nn.Conv2d(channels, values, 1, bias=False)
        self.output = nn.Conv2d(values, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature maps plus what each pixel has gathered from the others."""
        query, key, value = (part(images).flatten(2) for part in (self.query, self.key, self.value))
        # Not torch's fused attention: gradient penalties differentiate twice, and its fast kernels cannot.
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=2)
        gathered = (value @ weights.transpose(1, 2)).unflatten(2, images.shape[2:])
        result: Tensor = images + self.gamma * self.output(gathered)
        return result
