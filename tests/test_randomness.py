"""Every random number is a function of (seed, purpose, numbers)."""

import torch

from genlab.randomness import generator, key, normal, normal_rows, reseed


def test_different_purposes_and_numbers_give_different_keys() -> None:
    keys = {
        key(seed, purpose, *numbers) for seed in range(9) for purpose in "abc" for numbers in ((), (1,), (1, 2), (12,))
    }
    assert len(keys) == 9 * 3 * 4
    assert all(0 <= each < 2**63 for each in keys)


def test_a_key_is_the_same_on_every_machine_and_in_every_version() -> None:
    assert key(0, "move", 1, 2) == 2920137197763042229


def test_a_generator_is_not_shifted_by_other_draws() -> None:
    first = torch.randn(3, generator=generator(1, "order", 5))
    torch.randn(100)
    assert torch.equal(first, torch.randn(3, generator=generator(1, "order", 5)))


def test_reseeding_fixes_what_the_default_generator_draws() -> None:
    reseed(torch.device("cpu"), 3, "move", 7)
    first = torch.randn(4)
    torch.manual_seed(1)
    reseed(torch.device("cpu"), 3, "move", 7)
    assert torch.equal(first, torch.randn(4))
    reseed(torch.device("cpu"), 3, "move", 8)
    assert not torch.equal(first, torch.randn(4))


def test_rows_of_noise_do_not_depend_on_how_they_are_split() -> None:
    whole, parts = (torch.Generator().manual_seed(3) for _ in range(2))
    cpu = torch.device("cpu")
    expected = normal(9, 3, 5, device=cpu, generator=whole)
    assert expected.shape == (9, 3, 5)
    assert torch.equal(torch.cat([normal(count, 3, 5, device=cpu, generator=parts) for count in (2, 3, 4)]), expected)


def test_the_noise_of_an_item_does_not_depend_on_its_batch() -> None:
    whole = normal_rows(0, "noise", 0, 6, 4)
    assert torch.equal(normal_rows(0, "noise", 2, 3, 4), whole[2:5])
    assert torch.equal(normal_rows(0, "noise", 0, 6, 2), whole[:, :2])
