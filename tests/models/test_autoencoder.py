"""Autoencoders with penalties on their codes: the losses by hand, and what the penalties do."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from genlab.contract import Draws, Samples
from genlab.models.autoencoder import Autoencoder
from genlab.models.losses.discrepancy import SCALES, discrepancy
from genlab.models.wae import WAE
from genlab.networks.mlp import Mlp
from genlab.registry import ConfigError
from tests.fixtures import tiny

Settings = float | str


def autoencoder(**settings: Settings) -> Autoencoder:
    torch.manual_seed(3)
    return Autoencoder(x=tiny.TINY, network=Mlp(hidden=[6]), latent_dim=3, **settings)  # type: ignore[arg-type]


def wae(mmd: float = 10.0, latent_dim: int = 2) -> WAE:
    torch.manual_seed(3)
    return WAE(x=tiny.TINY, network=Mlp(hidden=[16]), latent_dim=latent_dim, mmd=mmd)


def trained(model: Autoencoder, images: Callable[[], Tensor], steps: int = 80) -> Autoencoder:
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss({"x": images()}).loss.backward()
        optimizer.step()
    return model.eval()


def noise(count: int = 64) -> Callable[[], Tensor]:
    draws = torch.Generator().manual_seed(0)
    return lambda: torch.rand(count, *tiny.TINY.shape, generator=draws)


def test_the_discrepancy_equals_a_direct_double_loop() -> None:
    draws = torch.Generator().manual_seed(1)
    codes, prior = (torch.randn(5, 3, generator=draws, dtype=torch.float64) for _ in range(2))

    def kernel(one: Tensor, other: Tensor) -> float:
        squared = float((one - other).square().sum())
        return sum(2 * 3 * scale / (2 * 3 * scale + squared) for scale in SCALES)

    different = [(i, j) for i, j in itertools.product(range(5), repeat=2) if i != j]
    within = [sum(kernel(part[i], part[j]) for i, j in different) / (5 * 4) for part in (codes, prior)]
    across = sum(kernel(one, other) for one in codes for other in prior) / 25
    assert float(discrepancy(codes, prior)) == pytest.approx(sum(within) - 2 * across, abs=1e-12)


def test_the_discrepancy_is_0_on_average_for_codes_of_the_prior_alone() -> None:
    draws = torch.Generator().manual_seed(2)

    def mean(change: Callable[[Tensor], Tensor]) -> float:
        pairs = (torch.randn(2, 32, 4, generator=draws) for _ in range(300))
        return float(torch.stack([discrepancy(change(codes), prior) for codes, prior in pairs]).mean())

    # The standard error of a mean is 0.004 to 0.006.
    assert abs(mean(lambda codes: codes)) < 0.015
    assert mean(lambda codes: codes + 0.3) > 0.05
    assert mean(lambda codes: 0.7 * codes) > 0.05
    assert mean(lambda codes: 1.4 * codes) > 0.05
    # A last batch may have one item.
    assert discrepancy(torch.ones(1, 4), torch.zeros(1, 4)).isfinite()


def test_each_penalty_is_added_with_its_weight() -> None:
    batch = tiny.batch(count=4)
    plain = autoencoder()
    codes = plain.encode(batch)
    error = 0.5 * sum((plain.decode(code[None]) - x).square().sum() for code, x in zip(codes, batch["x"], strict=True))
    found = plain.loss(batch)
    torch.testing.assert_close(found.loss, error / 4)
    assert not found.shown

    squares, sums = 0.5 * codes.square().sum() / 4, codes.abs().sum() / 4
    result = autoencoder(code_weight=0.3, sparsity=0.2).loss(batch)
    torch.testing.assert_close(result.loss, error / 4 + 0.3 * squares + 0.2 * sums)
    shown = {"reconstruction": error / 4, "code_square": squares, "code_sum": sums}
    torch.testing.assert_close(dict(result.shown), shown)

    model = wae(mmd=7.0)
    result = model.loss(batch)
    torch.testing.assert_close(result.loss, result.shown["reconstruction"] + 7 * result.shown["mmd"])


def test_the_code_penalty_shrinks_codes_and_sparsity_makes_most_numbers_exactly_0() -> None:
    items = {"x": noise()()}

    def codes(**settings: Settings) -> Tensor:
        return trained(autoencoder(**settings), noise()).encode(items).detach()

    assert codes(code_weight=0.05).square().mean() < 0.5 * codes().square().mean()
    dense, sparse = (codes(sparsity=weight, code_activation="relu") for weight in (0.0, 0.01))
    assert sparse.eq(0).float().mean() > dense.eq(0).float().mean() + 0.2
    assert sparse.any()


def test_codes_of_a_wasserstein_autoencoder_get_the_distribution_from_which_it_samples() -> None:
    model = trained(wae(mmd=1.0), noise(128), steps=150)
    codes = model.encode({"x": noise(2000)()})
    torch.testing.assert_close(codes.mean(0), torch.zeros(2), atol=0.15, rtol=0)
    torch.testing.assert_close(codes.T.cov(), torch.eye(2), atol=0.2, rtol=0)
    assert isinstance(model, Draws)
    assert isinstance(model, Samples)
    drawn, _ = model.draw(9, generator=torch.Generator().manual_seed(4))
    samples = model.sample(9, generator=torch.Generator().manual_seed(4))
    assert torch.equal(model.decode(drawn), samples)
    assert not isinstance(autoencoder(), Draws | Samples)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: autoencoder(code_weight=-1.0), "code_weight must be at least 0, got -1"),
        (lambda: autoencoder(sparsity=-0.1), "sparsity must be at least 0, got -0.1"),
        (lambda: wae(mmd=0.0), "mmd must be above 0, got 0. .* use model=ae"),
        (lambda: wae(mmd=-2.0), "mmd must be above 0, got -2"),
    ],
)
def test_weights_that_are_wrong_are_refused(build: Callable[[], Autoencoder], message: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=message):
        build()
