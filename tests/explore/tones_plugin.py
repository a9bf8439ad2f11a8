"""A plugin with a small data set of sounds: tones as spectrograms."""

import math

import torch

from genlab.data.dataset import Column, Dataset, split_off
from genlab.kinds import Spectrogram

TONES = Spectrogram(1, 16, 16, rate=4000, hop=64, window=128)


def tones(*, count: int) -> Dataset:
    """Make tones between 200 and 1400 Hz."""
    seconds = torch.arange(TONES.hop * (TONES.width - 1)) / TONES.rate
    hertz = torch.linspace(200, 1400, count).unsqueeze(1)
    pictures = TONES.picture(0.5 * torch.sin(2 * math.pi * hertz * seconds))
    rest, test = split_off(count, count // 5, "test")
    train, validation = split_off(len(rest), count // 5)
    splits = {"train": rest[train], "validation": rest[validation], "test": test}
    return Dataset({"x": Column(TONES, pictures.mul(255).round().to(torch.uint8))}, splits)


SOURCES = {"tones": tones}
