"""Sharpness against pictures whose Laplacian is known, and against blurred pictures."""

import pytest
import torch
from torch.nn import functional

from genlab.metrics.sharpness import edge_strength, sharpness


def test_the_edge_strength_of_known_pictures() -> None:
    flat, slope = torch.full((1, 5, 5), 0.3), torch.arange(5).expand(1, 5, 5) / 5
    dot = torch.zeros(1, 3, 3)
    dot[0, 1, 1] = 0.5
    found = [float(edge_strength(image[None])) for image in (flat, slope, dot)]
    assert found == pytest.approx([0, 0, 4 * 0.5], abs=1e-6)
    # A chessboard: every neighbour of a white pixel is black.
    board = (torch.arange(6).view(-1, 1) + torch.arange(6)).remainder(2).float()
    assert edge_strength(board.expand(2, 3, 6, 6)).tolist() == pytest.approx([4, 4])
    assert edge_strength(torch.ones(2, 1, 2, 9)).tolist() == [0, 0]


def test_blurred_images_are_less_sharp_and_noisy_ones_sharper() -> None:
    real = torch.rand(50, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    blurred = functional.avg_pool2d(real, 3, 1, 1)
    strength = edge_strength(real)
    assert sharpness(strength, strength) == {"sharpness": 1}
    assert sharpness(edge_strength(blurred), strength)["sharpness"] < 0.5
    assert sharpness(edge_strength(2 * real), strength)["sharpness"] == pytest.approx(2)
    assert sharpness(strength, torch.zeros(50)) == {}, "flat real images have no edges to compare with"
