"""Directions of attributes: differences of means, and planted directions of attributes that come together."""

import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from genlab.metrics.attributes import (
    changed_pixels,
    contrasts,
    discriminant,
    interactions,
    regression,
    squared_error_inside,
)


def coins(count: int, *purposes: int) -> Tensor:
    return torch.rand(count, len(purposes), generator=torch.Generator().manual_seed(purposes[0])) < 0.5


def test_one_attribute_alone_gives_the_mean_with_it_minus_the_mean_without_it() -> None:
    has = coins(50, 1)
    codes = torch.randn(50, 4, generator=torch.Generator().manual_seed(2))
    expected = codes[has[:, 0]].mean(0) - codes[~has[:, 0]].mean(0)
    assert torch.allclose(contrasts(has) @ codes, expected[None], atol=1e-6)


def test_a_number_gives_the_slope_of_the_codes() -> None:
    numbers = torch.linspace(-3, 5, 40)
    codes = 7 + numbers[:, None] * torch.tensor([[2.0, -0.5]])
    assert torch.allclose(contrasts(numbers[:, None]) @ codes, torch.tensor([[2.0, -0.5]]), atol=1e-5)


def test_planted_directions_of_attributes_that_come_together_are_found() -> None:
    first, noise = coins(400, 3)[:, 0], coins(400, 4, 5)
    # The second attribute is equal to the first in three of four items.
    second = torch.where(noise.all(1), ~first, first)
    planted = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, -1.0]])
    table = torch.stack([first, second], 1).float()
    codes = 5 + table @ planted
    assert torch.allclose(contrasts(table) @ codes, planted, atol=1e-5)
    assert torch.allclose(contrasts(table[:, :1], table[:, 1:]) @ codes, planted[:1], atol=1e-5)
    # A difference of means brings part of the other attribute along.
    assert (contrasts(table[:, :1]) @ codes - planted[:1]).abs().max() > 0.5


def test_copies_of_an_attribute_change_nothing() -> None:
    has = coins(60, 6, 7).float()
    codes = torch.randn(60, 3, generator=torch.Generator().manual_seed(8))
    others = torch.cat([has[:, :1], 1 - has[:, :1], has[:, 1:], torch.ones(60, 1)], 1)
    assert torch.allclose(contrasts(has[:, :1], others), contrasts(has[:, :1], has[:, 1:]), atol=1e-6)
    # Asked for twice, the two directions add up to the one.
    twice = contrasts(has[:, [0, 0]], has[:, 1:])
    assert torch.allclose(twice.sum(0) @ codes, contrasts(has[:, :1], has[:, 1:])[0] @ codes, atol=1e-5)


def test_the_error_counts_only_the_pixels_that_truly_change() -> None:
    before = torch.zeros(1, 3, 2, 2)
    truth = before.clone()
    truth[0, 1, 0, 0], truth[0, 0, 1, 1] = 0.8, 0.05
    inside = changed_pixels(before, truth)
    assert inside.tolist() == [[[[True, False], [False, False]]]]
    assert squared_error_inside(truth, truth, inside) == 0
    assert abs(squared_error_inside(before, truth, inside) - 0.64 / 3) < 1e-6
    assert squared_error_inside(truth + torch.tensor([[0.0, 9.0], [9.0, 9.0]]), truth, inside) == 0


def test_planted_directions_that_depend_on_another_attribute_are_found() -> None:
    has, other = coins(600, 9, 10).float().T
    number = torch.randn(600, generator=torch.Generator().manual_seed(11))
    planted = torch.tensor([[1.0, 2.0, 0.0], [0.0, -3.0, 1.0], [0.5, 0.0, 0.0]])
    codes = 4 + other[:, None] * torch.tensor([[0.0, 1.0, 1.0]]) + number[:, None] * torch.tensor([[1.0, 0.0, 2.0]])
    codes = codes + has[:, None] * (planted[0] + other[:, None] * planted[1] + number[:, None] * planted[2])
    others = torch.stack([other, number], 1)
    found = torch.tensordot(interactions(has[:, None], others), codes, 1)[0]
    mean = planted[0] + others.mean(0) @ planted[1:]
    assert torch.allclose(found, torch.stack([mean, planted[1], planted[2]]), atol=1e-4)


def test_a_discriminant_and_a_regression_are_those_of_scikit_learn() -> None:
    draws = torch.Generator().manual_seed(12)
    values = torch.randint(3, (300,), generator=draws)
    codes = torch.randn(300, 4, generator=draws) + torch.randn(3, 4, generator=draws)[values]
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(codes.numpy(), values.numpy())
    found = discriminant(codes, values, 3)(codes)
    assert torch.equal(found.argmax(1), torch.from_numpy(theirs.predict(codes.numpy())))
    chances = torch.from_numpy(theirs.predict_proba(codes.numpy())).double()
    assert torch.allclose(found.softmax(1), chances, atol=1e-2)
    numbers = codes @ torch.tensor([1.0, -2.0, 0.0, 3.0]) + 5
    assert torch.allclose(regression(codes, numbers)(codes)[:, 0].float(), numbers, atol=1e-4)
    # A unit of the code that is always the same does no harm, nor does a class without items.
    flat = torch.cat([codes, torch.ones(300, 1)], 1)
    assert torch.equal(discriminant(flat, values, 4)(flat).argmax(1), found.argmax(1))
