"""Length, detour and evenness of paths, against closed forms."""

import math

import pytest
import torch

from genlab.metrics.paths import detour, largest_step, length


def test_a_straight_even_path_has_a_detour_and_a_largest_step_of_one() -> None:
    path = torch.linspace(0, 1, 6).unsqueeze(1) * torch.tensor([3.0, 4.0])
    assert length(path) == pytest.approx(5)
    assert detour(path) == pytest.approx(1)
    assert largest_step(path) == pytest.approx(1)


def test_half_a_circle_is_half_pi_longer_than_its_diameter() -> None:
    angles = torch.linspace(0, math.pi, 1001, dtype=torch.float64)
    path = torch.stack([angles.cos(), angles.sin()], 1)
    assert detour(path) == pytest.approx(math.pi / 2, rel=1e-5)
    assert largest_step(path) == pytest.approx(1)


def test_a_jump_has_the_largest_step() -> None:
    path = torch.tensor([[0.0], [1.0], [2.0], [3.0], [9.0]])
    assert largest_step(path) == pytest.approx(6 / (9 / 4))


def test_paths_that_stand_still_or_return_have_values() -> None:
    still, back = torch.ones(4, 2), torch.tensor([[0.0], [1.0], [0.0]])
    assert (length(still), detour(still), largest_step(still)) == (0, 1, 1)
    assert detour(back) == math.inf
