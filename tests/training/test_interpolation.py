"""Paths between two codes, against closed forms."""

import math

import torch

from genlab.training.interpolation import evenly, linear, spherical


def test_a_line_is_the_weighted_mean_of_its_ends() -> None:
    start, end = torch.tensor([[0.0, 1.0], [2.0, 3.0]]), torch.tensor([[4.0, 1.0], [2.0, -1.0]])
    path = linear(start, end, evenly(5))
    for step in range(5):
        share = step / 4
        assert torch.allclose(path[:, step], (1 - share) * start + share * end)


def test_the_arc_of_orthogonal_codes_is_a_quarter_of_a_circle() -> None:
    start, end = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 3.0]])
    path = spherical(start, end, evenly(7))[0]
    angles = [step / 6 * math.pi / 2 for step in range(7)]
    assert torch.allclose(path, torch.tensor([[3 * math.cos(angle), 0, 3 * math.sin(angle)] for angle in angles]))


def test_an_arc_keeps_the_length_and_moves_evenly_at_any_angle() -> None:
    generator = torch.Generator().manual_seed(0)
    start, end = (5 * torch.nn.functional.normalize(torch.randn(9, 6, generator=generator), dim=1) for _ in range(2))
    path = spherical(start, end, evenly(5))
    assert torch.allclose(path.norm(dim=2), torch.tensor(5.0))
    steps = path.diff(dim=1).norm(dim=2)
    assert torch.allclose(steps, steps[:, :1].expand_as(steps), rtol=1e-4)


def test_the_halfway_point_of_long_independent_codes_is_as_long_as_they_are() -> None:
    start, end = torch.randn(2, 200, 400, generator=torch.Generator().manual_seed(1))
    half = torch.tensor([0.5])
    assert 0.97 < float(spherical(start, end, half).norm(dim=2).mean() / start.norm(dim=1).mean()) < 1.03
    assert 0.68 < float(linear(start, end, half).norm(dim=2).mean() / start.norm(dim=1).mean()) < 0.74


def test_both_ends_of_every_path_are_exact() -> None:
    generator = torch.Generator().manual_seed(2)
    start, end = torch.randn(50, 3, generator=generator), torch.randn(50, 3, generator=generator)
    end[0], end[1], end[2], start[3] = start[0], -2 * start[1], 0, 0
    end[4] = -start[4] + 1e-5
    for way in (linear, spherical):
        path = way(start, end, evenly(4))
        assert torch.equal(path[:, 0], start)
        assert torch.equal(path[:, -1], end)
        assert path.isfinite().all()


def test_equal_directions_and_the_origin_have_no_arc() -> None:
    code, zero = torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2)
    for start, end in ((code, code), (code, 3 * code), (zero, code), (code, zero), (zero, zero)):
        assert torch.allclose(spherical(start, end, evenly(5)), linear(start, end, evenly(5)))


def test_opposite_codes_are_joined_by_half_a_circle() -> None:
    start = torch.tensor([[0.0, 2.0, 0.0]])
    path = spherical(start, -start, evenly(5))[0]
    assert torch.allclose(path.norm(dim=1), torch.tensor(2.0))
    assert torch.allclose(
        path @ start[0] / 4, torch.tensor([math.cos(step / 4 * math.pi) for step in range(5)]), atol=1e-6
    )
    # One number has no circle; the path crosses the origin.
    assert torch.allclose(
        spherical(torch.tensor([[1.0]]), torch.tensor([[-1.0]]), evenly(3)).flatten(), evenly(3).float() * -2 + 1
    )


def test_codes_that_are_almost_opposite_have_a_smooth_arc_too() -> None:
    start = torch.tensor([[1.0, 0.0]])
    for tilt in (1e-3, 1e-5, 1e-7, 0.0):
        path = spherical(start, torch.tensor([[-1.0, tilt]]), evenly(9))[0]
        steps = path.diff(dim=0).norm(dim=1)
        assert float(steps.max() / steps.min()) < 1.01, tilt
