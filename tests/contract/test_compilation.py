"""Every loss compiles as one graph, and gives what it gives without compilation."""

import copy

import pytest
import torch
from torch import Tensor

from genlab.contract import Batch, Model, Result, Turn
from tests.contract.test_contract import CASES, COLOUR, DEFAULTS, Case, batch_for, built, scalars, weights_of

EVERY = list(dict.fromkeys([*DEFAULTS, *CASES]))
PENALTIES = [
    Case("wgan-gp", "mlp-small"),
    Case("wgan-gp", "dcgan-small", ("model.spectral_norm=true",)),
    Case("dcgan", "dcgan-small", ("model.discriminator_normalization=none", "model.r1=1", "model.spectral_norm=true")),
    Case("cgan", "mlp-small", ("model.discriminator_normalization=layer", "model.r1=1", "model.penalty=1"), COLOUR),
    Case("aae", "", ("model.r1=1",)),
]
QUICK = [Case("vae", "mlp-small"), PENALTIES[0], PENALTIES[3], PENALTIES[4]]
STEPS = (0, 10**9)
"""The first step and one of a later phase, if the model has phases."""


def turns_of(model: Model) -> dict[str, Turn]:
    return {turn.loss.__name__: turn for step in STEPS for turn in model.turns(step)}


def gradients(model: Model, turn: Turn, result: Result) -> list[Tensor | None]:
    return list(torch.autograd.grad(result.loss, weights_of(model, turn.player), allow_unused=True))


def assert_compiled_as_eager(case: Case, backend: str, rtol: float) -> None:
    """Compare every turn of two equal models, one of which is compiled, on the same batch and noise."""
    torch.compiler.reset()
    torch.manual_seed(1)
    eager = built(case)
    compiled = copy.deepcopy(eager)
    for name, turn in turns_of(eager).items():
        twin, batch = turns_of(compiled)[name], batch_for(case) | {"step": torch.zeros(())}
        assert not turn.eager
        expected = seeded(turn, batch)
        found = seeded(Turn(twin.player, torch.compile(twin.loss, fullgraph=True, backend=backend)), batch)
        for term, value in scalars(expected).items():
            torch.testing.assert_close(scalars(found)[term], value, rtol=rtol, atol=rtol)
        for before, after in zip(gradients(eager, turn, expected), gradients(compiled, twin, found), strict=True):
            assert (after is None) == (before is None)
            if after is not None and before is not None:
                # Sums in another order differ by a share of the largest number, not of each.
                torch.testing.assert_close(after, before, rtol=0, atol=10 * rtol * max(1e-3, float(before.abs().max())))
    for key, value in eager.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[key], value, rtol=rtol, atol=rtol)


def seeded(turn: Turn, batch: Batch) -> Result:
    torch.manual_seed(2)
    return turn.loss(batch)


@pytest.mark.slow
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_no_loss_has_a_graph_break(case: Case) -> None:
    assert_compiled_as_eager(case, "eager", 1e-5)


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_quick_losses_have_no_graph_break(case: Case) -> None:
    assert_compiled_as_eager(case, "eager", 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", PENALTIES, ids=str)
def test_gradients_of_penalties_on_gradients_are_those_of_the_eager_loss(case: Case) -> None:
    assert_compiled_as_eager(case, "aot_eager", 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", [DEFAULTS[0], *PENALTIES], ids=str)
def test_the_default_backend_gives_the_same(case: Case) -> None:
    assert_compiled_as_eager(case, "inductor", 1e-5)
