"""3x3 convolutions together with a doubling or a halving of the image, in fewer operations and with the same result."""

import torch
from torch import Tensor, nn
from torch.nn import functional

# Rows of a 4x4 kernel as sums of the rows of a 3x3 kernel. Nearest neighbour repeats each pixel, so two taps of the 3x3
# kernel often meet the same pixel and can be added beforehand: 4 products for each output pixel take the place of 9.
_DOUBLING = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))
# The mean of two neighbouring 3x3 windows is one 4x4 window.
_HALVING = ((0.5, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.5, 0.5), (0.0, 0.0, 0.5))


class UpsampledConv(nn.Conv2d):
    """Nearest neighbour upsampling to `size`, then a 3x3 convolution; a doubling is one transposed convolution."""

    sums: Tensor

    def __init__(self, before: int, after: int, size: tuple[int, int], *, bias: bool = True) -> None:
        super().__init__(before, after, 3, 1, 1, bias=bias)
        self.size = size
        self.register_buffer("sums", torch.tensor(_DOUBLING), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the images, enlarged and convolved."""
        height, width = images.shape[2:]
        if (2 * height, 2 * width) == self.size:
            kernel = _summed(self.weight, self.sums).transpose(0, 1)
            return functional.conv_transpose2d(images, kernel, self.bias, stride=2, padding=1)
        return super().forward(functional.interpolate(images, self.size))


class PooledConv(nn.Conv2d):
    """A 3x3 convolution, then the mean of each 2x2 pixels; for even sides this is one convolution of stride 2."""

    sums: Tensor

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, 1, 1)
        self.register_buffer("sums", torch.tensor(_HALVING), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the images, convolved and halved; of an odd side the last row or column is left out."""
        if images.shape[2] % 2 or images.shape[3] % 2:
            return functional.avg_pool2d(super().forward(images), 2)
        return functional.conv2d(images, _summed(self.weight, self.sums), self.bias, stride=2, padding=1)


def _summed(weight: Tensor, sums: Tensor) -> Tensor:
    """Return 4x4 kernels whose rows and columns are sums of those of 3x3 kernels."""
    sums = sums.to(weight.dtype)
    return sums @ weight @ sums.T
