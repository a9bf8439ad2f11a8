"""An ordinary training script, the baseline of our speed and quality benchmarks.

It is deliberately ordinary: a DataLoader with ToTensor, a VAE of 784-400-20, Adam, and `.item()` at each step.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset


class PlainVAE(nn.Module):
    """VAE with layers of 784-400-20-400-784."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.mean, self.log_variance = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.expand, self.out = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the decoded logits and the distribution of the code."""
        hidden = functional.relu(self.hidden(images.view(-1, 784)))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        code = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return self.out(functional.relu(self.expand(code))), mean, log_variance


def plain_loss(decoded: Tensor, images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the negative ELBO, summed over the batch."""
    error = functional.binary_cross_entropy_with_logits(decoded, images.view(-1, 784), reduction="sum")
    return error - 0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())


class PillowImages(Dataset[tuple[Tensor, int]]):
    """Images one at a time, through Pillow and ToTensor, like the data sets of torchvision."""

    def __init__(self, pixels: Tensor, labels: Tensor, to_tensor: Callable[..., Tensor]) -> None:
        self.pixels, self.labels, self.to_tensor = pixels, labels, to_tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.to_tensor(Image.fromarray(self.pixels[index].numpy())), int(self.labels[index])


def plain_loader(pixels: Tensor, labels: Tensor, shuffle: bool) -> DataLoader[tuple[Tensor, int]]:
    """Return a DataLoader as tutorials write it."""
    from genlab.data.files.vision import torchvision

    images = PillowImages(pixels.squeeze(1), labels, torchvision().transforms.ToTensor())
    return DataLoader(images, batch_size=128, shuffle=shuffle)
