"""Spectrograms: log-mel pictures of sounds, which every image model takes and which can be heard again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from genlab.kinds.image import Image
from genlab.kinds.kind import Exhibit, Row, Sound
from genlab.randomness import generator

_QUIET, _LOUD = math.log(1e-4), math.log(40.0)
"""The logarithms of the magnitudes that are black and white."""
_LOWEST = 50.0
"""The lower edge of the first mel band, in Hz."""
_HEARD, _PAUSE = 4, 0.2
"""Items that an exhibit plays, and the seconds of silence after each."""
_ROUNDS, _SOLVES = 32, 30


@dataclass(frozen=True)
class Spectrogram(Image):
    """One sound as a picture: a mel band a row (the lowest at the bottom), a frame a column."""

    rate: int
    """Samples per second of the sound."""
    hop: int = 200
    """Samples from one frame to the next."""
    window: int = 512
    """Samples in a frame."""

    plural: ClassVar[str] = "spectrograms"

    def picture(self, waves: Tensor) -> Tensor:
        """Convert sounds in [-1, 1], N x samples, to pictures in [0, 1]."""
        magnitudes = torch.stft(waves, self.window, self.hop, window=self._hann(waves), return_complex=True).abs()
        levels = (self._filters().to(waves) @ magnitudes).clamp_min(math.exp(_QUIET)).log()
        return ((levels - _QUIET) / (_LOUD - _QUIET)).clamp(0, 1).flip(1).unsqueeze(1)

    def sound(self, pictures: Tensor) -> Tensor:
        """Convert pictures to sounds by fast Griffin-Lim (Griffin and Lim 1984; Perraudin et al. 2013)."""
        mel = (pictures.squeeze(1).flip(1).float() * (_LOUD - _QUIET) + _QUIET).exp()
        filters = self._filters().to(mel)
        magnitudes = (torch.linalg.pinv(filters) @ mel).clamp_min(1e-5)
        for _ in range(_SOLVES):  # multiplicative updates keep the magnitudes positive
            magnitudes = magnitudes * (filters.T @ mel) / (filters.T @ (filters @ magnitudes)).clamp_min(1e-8)
        length, hann = self.hop * (pictures.shape[3] - 1), self._hann(mel)
        turns = torch.rand(magnitudes.shape, generator=generator(0, "griffin-lim")).to(mel)
        phase = torch.polar(torch.ones_like(turns), 2 * math.pi * turns)
        before = torch.zeros_like(phase)
        for _ in range(_ROUNDS):
            wave = torch.istft(magnitudes * phase, self.window, self.hop, window=hann, length=length)
            found = torch.stft(wave, self.window, self.hop, window=hann, return_complex=True)
            phase, before = found - 0.5 * before, found
            phase = phase / phase.abs().clamp_min(1e-8)
        return torch.istft(magnitudes * phase, self.window, self.hop, window=hann, length=length).clamp(-1, 1)

    def exhibit(self, rows: Sequence[Row]) -> Exhibit:
        """Draw the pictures, and play the first items of the last row one after the other."""
        waves = self.sound(rows[-1].items[:_HEARD].cpu())
        pause = torch.zeros(len(waves), round(_PAUSE * self.rate))
        played = torch.cat([waves, pause], 1).flatten()
        return Exhibit(picture=super().exhibit(rows).picture, sound=Sound(played, self.rate))

    def _hann(self, like: Tensor) -> Tensor:
        return torch.hann_window(self.window, device=like.device)

    def _filters(self) -> Tensor:
        return mel_filters(self.height, self.rate, self.window)


@lru_cache
def mel_filters(bands: int, rate: int, window: int) -> Tensor:
    """Return triangular mel filters, bands x frequencies (O'Shaughnessy's mel scale)."""
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (_LOWEST, rate / 2))
    edges = 700 * (10 ** (torch.linspace(low, high, bands + 2, dtype=torch.float64) / 2595) - 1)
    frequencies = torch.linspace(0, rate / 2, window // 2 + 1, dtype=torch.float64)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp_min(0).float()
