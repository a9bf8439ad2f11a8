"""The causal transformer: what it sees, its cache, its probabilities, and its samples."""

import itertools

import pytest
import torch
from torch import Tensor

from genlab.networks.autoregressive import Autoregressive
from genlab.registry import ConfigError


def built(vocabulary: int = 5, length: int = 6, condition: int = 0, width: int = 64) -> Autoregressive:
    """Build a network whose predictions differ much from symbol to symbol."""
    torch.manual_seed(1)
    network = Autoregressive(vocabulary, length, width=width, layers=2, condition=condition)
    with torch.no_grad():
        for weight in (network.embedding.weight, network.positions, network.head.weight):
            weight.mul_(20 if weight is not network.head.weight else 4)
    return network


def drawn(count: int, length: int, seed: int = 2) -> Tensor:
    return torch.rand(count, length, generator=torch.Generator().manual_seed(seed))


def test_a_symbol_is_predicted_from_all_earlier_ones_and_from_no_later_one() -> None:
    network, tokens = built(), torch.tensor([[0, 1, 2, 3, 4, 0]])
    vectors = network.embedding(tokens).detach().requires_grad_()
    network.embedding.register_forward_hook(
        lambda module, given, output: torch.cat([output[:, :1], vectors[:, :-1]], 1)
    )
    logits = network(tokens)
    for place in range(6):
        (gradient,) = torch.autograd.grad(
            logits[:, place].square().sum(), vectors, retain_graph=True, allow_unused=True
        )
        sees = gradient[0].abs().sum(1) > 0
        assert sees.tolist() == [other < place for other in range(6)], place


@pytest.mark.parametrize("condition", [0, 3])
def test_the_cache_changes_no_logit(condition: int) -> None:
    network, tokens = built(condition=condition), torch.randint(5, (4, 6))
    vectors = torch.randn(4, condition) if condition else None
    with torch.no_grad():
        expected = network(tokens, vectors)
        caches, symbol = network._caches(torch.rand(4, 6)), torch.full((4,), 5)
        for place in range(6):
            torch.testing.assert_close(network._next(symbol, place, caches, vectors), expected[:, place])
            symbol = tokens[:, place]


def test_nats_are_the_logits_log_probabilities_and_sum_to_one_over_all_sequences() -> None:
    network = built(vocabulary=3, length=4, condition=2)
    tokens = torch.tensor(list(itertools.product(range(3), repeat=4)))
    vectors = torch.tensor([[1.0, 0.0]]).expand(len(tokens), -1)
    with torch.no_grad():
        nats = network.nats(tokens, vectors)
        by_hand = [
            -sum(float(row[place].log_softmax(0)[symbol]) for place, symbol in enumerate(sequence.tolist()))
            for row, sequence in zip(network(tokens, vectors), tokens, strict=True)
        ]
        other = network.nats(tokens, 1 - vectors)
    torch.testing.assert_close(nats, torch.tensor(by_hand))
    assert float((-nats).exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float((-other).exp().sum()) == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(nats, other, atol=0.1), "the condition changes the distribution"


def test_samples_follow_the_distribution_of_the_model() -> None:
    network, count = built(vocabulary=3, length=3, width=32), 20_000
    every = torch.tensor(list(itertools.product(range(3), repeat=3)))
    with torch.no_grad():
        expected = (-network.nats(every)).exp()
    samples = network.sample(drawn(count, 3))
    found = (samples @ torch.tensor([9, 3, 1])).bincount(minlength=27) / count
    assert expected.max() > 5 * expected.min(), "the distribution is not uniform"
    # Four standard errors of each share.
    assert ((found - expected).abs() < 4 * (expected * (1 - expected) / count).sqrt() + 1e-4).all()


def test_a_sample_depends_on_its_own_numbers_and_not_on_how_samples_are_split() -> None:
    network, uniform = built(), drawn(9, 6)
    parts = torch.cat([network.sample(part) for part in uniform.split([2, 3, 4])])
    assert torch.equal(network.sample(uniform), parts)
    assert not torch.equal(network.sample(drawn(9, 6, seed=3)), parts)


def test_a_low_temperature_takes_the_likeliest_symbol_and_extreme_numbers_take_symbols_that_exist() -> None:
    network = built()
    with torch.no_grad():
        cold = network.sample(drawn(8, 6), temperature=1e-4)
        assert torch.equal(cold, network(cold).argmax(2))
        extremes = network.sample(torch.tensor([[0.0] * 6, [1.0] * 6]))
    assert extremes.tolist() == [[0] * 6, [4] * 6]


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of its 3 heads .*, got 100; use 99"):
        built(width=100)
