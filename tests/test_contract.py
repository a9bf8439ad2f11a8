"""Every recipe over every network against the contract."""

import functools
from collections import Counter
from dataclasses import replace

import pytest
import torch

from genlab.assembly import build_model
from genlab.config import Config, choices, compose
from genlab.game import ABILITIES, Model, Shape
from genlab.models.vae import VAE
from tests.tiny import TINY, batch, denoiser, tiny_vae

GREY, COLOUR = Shape(1, 28, 28), Shape(3, 32, 32)
RECIPES = [(model, network, "") for model in choices("model") for network in choices("model/network")]
RECIPES += [("vae", "mlp", "model.likelihood=gaussian"), ("vae", "mlp", "model.likelihood=laplace")]
RECIPES += [("ae", "mlp", "model.output_activation=none")]
CASES = [(*recipe, GREY) for recipe in RECIPES] + [("vae", "conv", "", COLOUR), ("denoising-ae", "resnet", "", COLOUR)]

every_recipe = pytest.mark.parametrize(
    ("recipe", "shape"),
    [(case[:3], case[3]) for case in CASES],
    ids=["-".join([*filter(None, case[:3]), str(case[3].height)]) for case in CASES],
)
Recipe = tuple[str, str, str]


@functools.cache
def config_of(recipe: Recipe) -> Config:
    model, network, setting = recipe
    return compose([f"model={model}", f"model/network={network}", *filter(None, [setting])])


def built(recipe: Recipe, shape: Shape, seed: int = 1) -> Model:
    return build_model(replace(config_of(recipe), seed=seed), shape, 10)


@every_recipe
def test_every_parameter_belongs_to_exactly_one_player(recipe: Recipe, shape: Shape) -> None:
    model = built(recipe, shape)
    players = model.players()
    owners = Counter(id(weight) for player in players.values() for weight in player.parameters())
    assert owners == Counter(id(weight) for weight in model.parameters())
    assert set(players) == set(config_of(recipe).players)
    for step in (0, 1, 100):
        assert {turn.player for turn in model.turns(step)} <= set(players)
    assert {turn.player for step in range(100) for turn in model.turns(step)} == set(players)


@every_recipe
def test_the_loss_is_a_finite_scalar_whose_gradient_reaches_every_parameter(recipe: Recipe, shape: Shape) -> None:
    model, images = built(recipe, shape), batch(shape)
    for turn in model.turns(1):
        model.zero_grad()
        terms = turn.loss(images)
        for name, term in terms.items():
            assert term.shape == (), name
            assert term.dtype == torch.float32, name
            assert term.isfinite(), name
        terms["loss"].backward()
        for name, weight in model.players()[turn.player].named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name
            assert weight.dim() == 1 or weight.grad.any(), name


@every_recipe
def test_every_image_twice_has_the_loss_of_every_image_once(
    recipe: Recipe, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "randn", lambda *size, **_: torch.zeros(size))
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    model, once = built(recipe, shape), batch(shape)
    twice = {"image": torch.cat([once["image"], once["image"]])}
    for turn in model.turns(1):
        expected, terms = turn.loss(once), turn.loss(twice)
        for name, term in terms.items():
            torch.testing.assert_close(term, expected[name], rtol=1e-4, atol=1e-4)


@every_recipe
def test_the_loss_falls_within_30_steps_on_one_batch(recipe: Recipe, shape: Shape) -> None:
    model, images = built(recipe, shape), batch(shape, count=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = model.loss(images)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])


@every_recipe
def test_every_ability_gives_what_it_promises(recipe: Recipe, shape: Shape) -> None:
    model, images = built(recipe, shape).eval(), batch(shape)["image"]
    latent = config_of(recipe).model["latent_dim"]
    asked = {
        "reconstruct": ((images,), images.shape),
        "encode": ((images,), (8, latent)),
        "decode": ((torch.randn(3, latent),), (3, *shape)),
        "sample": ((5,), (5, *shape)),
        "score": ((images,), (8,)),
    }
    has = {name for name, ability in ABILITIES.items() if isinstance(model, ability)}
    assert has == set(asked) - (set() if isinstance(model, VAE) else {"sample"})
    for name in has:
        arguments, expected = asked[name]
        with torch.no_grad():
            given = getattr(model, name)(*arguments)
        assert given.shape == expected, name
        assert given.dtype == torch.float32, name
        assert given.isfinite().all(), name
        assert name in ("encode", "score") or ((given >= 0) & (given <= 1)).all(), name


@every_recipe
def test_what_is_shown_are_grids_of_images(recipe: Recipe, shape: Shape) -> None:
    model = built(recipe, shape).eval()
    with torch.no_grad():
        shown = model.show(batch(shape, count=9))
    assert set(shown) == {"reconstructions", "interpolations"} | ({"samples"} if isinstance(model, VAE) else set())
    for name, grid in shown.items():
        assert grid.dim() == 5, name
        assert grid.shape[2:] == shape, name
        assert grid.dtype == torch.float32, name
        assert ((grid >= 0) & (grid <= 1)).all(), name


@every_recipe
def test_the_first_weights_are_a_function_of_the_seed(recipe: Recipe, shape: Shape) -> None:
    first, again, other = (built(recipe, shape, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    matrices = [name for name, weight in first.items() if weight.dim() > 1]
    assert matrices
    assert not any(torch.equal(first[name], other[name]) for name in matrices)


@every_recipe
def test_the_state_of_a_model_makes_another_its_equal(recipe: Recipe, shape: Shape) -> None:
    model, twin, images = built(recipe, shape, 1), built(recipe, shape, 2), batch(shape)
    model.loss(images)  # moves the running means of a batch normalisation
    twin.load_state_dict(model.state_dict())
    state = twin.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(model.eval().reconstruct(images["image"]), twin.eval().reconstruct(images["image"]))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_batch_of_few_images_can_be_shown(count: int) -> None:
    for model in (tiny_vae(), denoiser()):
        for grid in model.show(batch(count=count)).values():
            assert grid.dim() == 5
            assert grid.shape[2:] == TINY
