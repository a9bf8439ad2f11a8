"""Data that needs no download: a part of Fashion-MNIST, which the package contains, and scikit-learn's digits."""

from pathlib import Path

import torch

from genlab.data.dataset import Dataset, split_off
from genlab.data.files import idx

# fmt: off
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)
# fmt: on
DIGITS = tuple("0123456789")


def fashion_mini(*, validation: int) -> Dataset:
    """Return 10,000 training and 2,000 test images of Fashion-MNIST (Xiao et al. 2017), 28x28, ten classes."""
    return idx.images(idx.find(Path(__file__).parent / "fashion_mini"), FASHION, validation)


def digits(*, validation: int, test: int) -> Dataset:
    """Return scikit-learn's 1,797 handwritten digits, 8x8."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    rest, tested = split_off(len(pixels), test, "test")
    left, held_out = split_off(len(rest), validation)
    splits = {"train": rest[left], "validation": rest[held_out], "test": tested}
    return Dataset.of_images(pixels, splits, torch.from_numpy(bunch.target), DIGITS)
