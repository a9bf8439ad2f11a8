"""Every recipe over every network against the contract."""

import functools
from collections import Counter
from dataclasses import replace

import pytest
import torch

from genlab.build import build_model
from genlab.config.compose import Config, choices, compose
from genlab.contract import ABILITIES, Model, Samples, Shape
from genlab.extractors.features import FEATURES
from genlab.models.adversarial import LOSSES
from genlab.models.autoencoder import Autoencoder
from genlab.models.gan import GAN
from genlab.models.srgan import SRGAN
from genlab.models.vae import VAE
from tests.fixtures.tiny import TINY, batch, denoiser, tiny_vae

ABILITIES_OF = {
    Autoencoder: {"reconstruct", "encode", "decode", "score"},
    VAE: {"reconstruct", "encode", "decode", "score", "sample"},
    GAN: {"sample"},
    SRGAN: {"upscale"},
}
GREY, COLOUR = Shape(1, 28, 28), Shape(3, 32, 32)
ARCHITECTURES = [name for name in choices("model/network") if not name.endswith("-small")]
WITHOUT_NETWORK = [name for name in choices("model") if "network" not in compose([f"model={name}"]).model]
RECIPES = [(name, network, "") for name in choices("model") if name not in WITHOUT_NETWORK for network in ARCHITECTURES]
RECIPES += [(name, "", "") for name in WITHOUT_NETWORK]
RECIPES += [("vae", "mlp", "model.likelihood=gaussian"), ("vae", "mlp", "model.likelihood=laplace")]
RECIPES += [("ae", "mlp", "model.output_activation=none")]
GAN_SETTINGS = [
    "model.spectral_norm=true",
    "model.critic_normalization=layer",
    "model.label_smoothing=0.1",
    "model.instance_noise=0.1",
    "model.augment=[color,translation,cutout]",
]
SRGAN_SETTINGS = ["model.scale=2", "model.scale=8", "model.normalization=none", "model.base=bicubic", "model.crop=24"]
SRGAN_SETTINGS += ["model.blur=1.0", "model.noise=0.1", "model.quality=30"]
CASES = [(*recipe, GREY) for recipe in RECIPES] + [("vae", "conv", "", COLOUR), ("denoising-ae", "resnet", "", COLOUR)]
CASES += [("dcgan", "dcgan", f"model.loss={loss}", COLOUR) for loss in LOSSES]
CASES += [("cgan", network, "model.condition=projection", COLOUR) for network in ("mlp-deep", "dcgan", "resnet")]
CASES += [("dcgan", "resnet", setting, COLOUR) for setting in GAN_SETTINGS]
CASES += [("srresnet", "", setting, COLOUR) for setting in SRGAN_SETTINGS]
CASES += [("srgan", "", "model.pixel_steps=0", COLOUR)]

every_recipe = pytest.mark.parametrize(
    ("recipe", "shape"),
    [(case[:3], case[3]) for case in CASES],
    ids=["-".join([*filter(None, case[:3]), str(case[3].height)]) for case in CASES],
)
Recipe = tuple[str, str, str]


@functools.cache
def config_of(recipe: Recipe) -> Config:
    model, network, setting = recipe
    config = compose([f"model={model}", *([f"model/network={network}"] if network else []), *filter(None, [setting])])
    # What holds for a few channels holds for many.
    for settings in (config.model, config.model.get("network", {})):
        settings.update(dict.fromkeys(settings.keys() & {"width", "most", "critic_width"}, 16))
    return config


def built(recipe: Recipe, shape: Shape, seed: int = 1) -> Model:
    return build_model(replace(config_of(recipe), seed=seed), shape, 10, FEATURES["pixels"]())


@every_recipe
def test_every_parameter_belongs_to_exactly_one_player(recipe: Recipe, shape: Shape) -> None:
    model = built(recipe, shape)
    players = model.players()
    owners = Counter(id(weight) for player in players.values() for weight in player.parameters())
    assert owners == Counter(id(weight) for weight in model.parameters())
    assert set(players) == set(config_of(recipe).players)
    for step in (0, 1, 100):
        assert {turn.player for turn in model.turns(step)} <= set(players)
    assert {turn.player for step in (*range(100), 10**9) for turn in model.turns(step)} == set(players)


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
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.full(size, 0.3))
    monkeypatch.setattr(torch, "randint", lambda low, high, size, **_: torch.ones(size, dtype=torch.long))
    once = batch(shape)
    twice = {name: torch.cat([values, values]) for name, values in once.items()}
    # A model each: a spectral norm is found a little better at each call.
    for turn, twin in zip(built(recipe, shape).turns(1), built(recipe, shape).turns(1), strict=True):
        expected, terms = turn.loss(once), twin.loss(twice)
        for name, term in terms.items():
            torch.testing.assert_close(term, expected[name], rtol=1e-4, atol=1e-4)


@every_recipe
def test_each_players_loss_falls_within_30_moves_of_its_own_on_one_batch(recipe: Recipe, shape: Shape) -> None:
    for number in range(len(built(recipe, shape).turns(1))):
        model, images = built(recipe, shape), batch(shape, count=4)
        turn = model.turns(1)[number]
        optimizer = torch.optim.Adam(model.players()[turn.player].parameters(), lr=1e-3)
        losses = []
        for _ in range(30):
            torch.manual_seed(0)  # The same noise, so that it is the same game each time.
            optimizer.zero_grad()
            loss = turn.loss(images)["loss"]
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        first, last = sum(losses[:5]) / 5, sum(losses[-5:]) / 5
        # By little where the other player has only just begun: a critic without normalisation is flat at first.
        assert last < first - 0.02 * abs(first)


@every_recipe
def test_every_ability_gives_what_it_promises(recipe: Recipe, shape: Shape) -> None:
    model, images = built(recipe, shape).eval(), batch(shape)["image"]
    latent = config_of(recipe).model.get("latent_dim", 0)
    asked = {
        "reconstruct": ((images,), images.shape),
        "encode": ((images,), (8, latent)),
        "decode": ((torch.randn(3, latent),), (3, *shape)),
        "sample": ((5,), (5, *shape)),
        "score": ((images,), (8,)),
        "upscale": ((images,), (8, shape.channels, *(getattr(model, "scale", 0) * side for side in shape[1:]))),
    }
    has = {name for name, ability in ABILITIES.items() if isinstance(model, ability)}
    assert has == ABILITIES_OF[type(model)]
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
    has = ABILITIES_OF[type(model)]
    expected = {
        "reconstructions": {"reconstruct"} <= has,
        "interpolations": {"encode", "decode"} <= has,
        "samples": {"sample"} <= has,
        "enlargements": {"upscale"} <= has,
    }
    assert set(shown) == {name for name, wanted in expected.items() if wanted}
    for name, grid in shown.items():
        assert grid.dim() == 5, name
        assert name == "enlargements" or grid.shape[2:] == shape, name
        assert grid.dtype == torch.float32, name
        assert ((grid >= 0) & (grid <= 1)).all(), name


@every_recipe
def test_what_is_validated_are_finite_scalars_with_a_loss(recipe: Recipe, shape: Shape) -> None:
    model = built(recipe, shape).eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        terms = model.validate(batch(shape))
    assert "loss" in terms
    assert all(term.shape == () and term.isfinite() for term in terms.values())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@every_recipe
def test_samples_are_a_function_of_the_seed_however_they_are_split(recipe: Recipe, shape: Shape) -> None:
    model = built(recipe, shape).eval()
    if not isinstance(model, Samples):
        return
    whole, first, second = torch.Generator(), torch.Generator(), torch.Generator()
    for generator, seed in ((whole, 3), (first, 3), (second, 4)):
        generator.manual_seed(seed)
    with torch.no_grad():
        expected = model.sample(9, generator=whole)
        parts = torch.cat([model.sample(count, generator=first) for count in (2, 3, 4)])
        torch.testing.assert_close(parts, expected, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(model.sample(9, generator=second), expected, atol=1e-4)


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
    for turn in model.turns(1):
        turn.loss(images)  # moves the running means of a batch normalisation
    twin.load_state_dict(model.state_dict())
    state = twin.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    for name in ABILITIES_OF[type(model)] & {"reconstruct", "sample"}:
        given = []
        for one in (model, twin):
            torch.manual_seed(0)
            with torch.no_grad():
                given.append(getattr(one.eval(), name)(3 if name == "sample" else images["image"]))
        assert torch.equal(*given), name


@pytest.mark.parametrize("points", [Shape(1, 1, 1), Shape(1, 1, 2)])
@pytest.mark.parametrize(("name", "setting"), [("gan", "seed=1"), ("vae", "model.likelihood=gaussian")])
def test_points_are_shown_where_they_lie(name: str, setting: str, points: Shape) -> None:
    model = build_model(compose([f"model={name}", setting]), points, 0).eval()
    with torch.no_grad():
        shown = model.show(batch(points, count=20))
    assert set(shown) == {"samples"} | ({"reconstructions"} if name == "vae" else set())
    for grid in shown.values():
        assert grid.shape[:3] == (1, 2, 1)
        assert ((grid >= 0) & (grid <= 1)).all()
        assert grid.min() < 0.5 < grid.max()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_batch_of_few_images_can_be_shown(count: int) -> None:
    for model in (tiny_vae(), denoiser()):
        for grid in model.show(batch(count=count)).values():
            assert grid.dim() == 5
            assert grid.shape[2:] == TINY
