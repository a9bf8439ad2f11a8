"""Every recipe against the contract: what the training loop, the commands and the metrics rely on."""

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from genlab.build import build_model
from genlab.config.compose import choices, compose
from genlab.config.schema import Config
from genlab.contract import (
    Batch,
    Model,
    Reconstructs,
    Restores,
    Result,
    Samples,
    Translates,
    Upscales,
    abilities_of,
    conditions,
    modules_of,
)
from genlab.extractors.pixels import pixels
from genlab.kinds import Classes, Image, Points
from genlab.models.aae import AAE
from genlab.models.autoencoder import Autoencoder
from genlab.models.cyclegan import CycleGAN
from genlab.models.gan import GAN
from genlab.models.losses.adversarial import LOSSES
from genlab.models.pix2pix import Pix2Pix
from genlab.models.srgan import SRGAN
from genlab.models.srresnet import SRResNet
from genlab.models.stylegan import StyleGAN
from genlab.models.vae import VAE
from genlab.models.vaegan import VAEGAN
from genlab.models.vqvae import VQVAE
from genlab.models.wae import WAE
from genlab.networks.attention import Attention
from tests.fixtures import tiny

ABILITIES_OF = {
    Autoencoder: {"reconstruct", "encode", "decode", "score"},
    VAE: {"reconstruct", "encode", "decode", "score", "sample"},
    GAN: {"decode", "sample"},
    SRResNet: {"upscale"},
    Pix2Pix: {"translate"},
    CycleGAN: {"translate"},
    StyleGAN: {"decode", "sample", "mix"},
    SRGAN: {"upscale"},
    VQVAE: {"reconstruct", "encode", "decode", "score", "sample"},
    AAE: {"reconstruct", "encode", "decode", "score", "sample"},
    VAEGAN: {"reconstruct", "encode", "decode", "sample"},
    WAE: {"reconstruct", "encode", "decode", "score", "sample"},
}
OF_PAIRS = {"mmd"}
"""Parts of losses that compare the items of a batch with each other, so a repeated item changes them."""
GREY, COLOUR, PLANE = Image(1, 28, 28), Image(3, 32, 32), Points(2)
DIGITS = Classes(tuple("0123456789"))


@dataclass(frozen=True)
class Case:
    """A recipe, another network for it, settings, and the kind of its data."""

    model: str
    network: str = ""
    settings: tuple[str, ...] = ()
    kind: Image | Points = GREY

    def __str__(self) -> str:
        words = [self.model, self.network, *(setting.removeprefix("model.") for setting in self.settings)]
        return "-".join([*filter(None, words), *(["points"] if isinstance(self.kind, Points) else [])])


# Every recipe as it is; every network with every class of models that takes one; every setting at least once.
DEFAULTS = [Case(name) for name in choices("model")]
CASES = [Case(name) for name in ("ae", "beta-vae", "cgan", "srgan", "srresnet")]
CASES += [Case("denoising-ae", "conv"), Case("ae", "dcgan"), Case("denoising-ae", "resnet", kind=COLOUR)]
CASES += [Case("ae", "mlp-deep", ("model.output_activation=none", "model.code_activation=tanh"))]
CASES += [Case("vae", "conv", ("model.likelihood=gaussian",), COLOUR), Case("vae", "dcgan"), Case("vae", "resnet")]
CASES += [Case("vae", "mlp-deep", ("model.likelihood=laplace", "model.std=0.5"))]
CASES += [Case("wgan", "conv"), Case("wgan-gp", "mlp"), Case("gan", "mlp-deep", ("model.loss=saturating",))]
CASES += [
    Case(
        "dcgan",
        "dcgan",
        ("model.loss=least-squares", "model.label_smoothing=0.1", "model.augment=[color,translation,cutout]"),
        COLOUR,
    ),
    Case(
        "cgan",
        "resnet",
        ("model.condition=projection", "model.discriminator_normalization=layer", "model.r1=1", "model.penalty=1"),
    ),
    Case("dcgan", "resnet", ("model.loss=hinge", "model.spectral_norm=true", "model.instance_noise=0.1"), COLOUR),
]
CASES += [
    Case("srresnet", "", ("model.scale=2", "model.normalization=none", "model.crop=24", "model.blur=1"), COLOUR),
    Case("srgan", "", ("model.scale=8", "model.base=bicubic", "model.noise=0.1", "model.quality=30"), COLOUR),
    Case("srgan", "", ("model.pixel_steps=0",), COLOUR),
]
CASES += [Case("vae", "", ("model.likelihood=gaussian",), PLANE), Case("gan", kind=PLANE)]

CASES += [
    Case("pix2pix", "", ("model.task=colorize", "model.dropout=0.5", "model.patch=16"), COLOUR),
    Case("pix2pix", "", ("model.task=inpaint", "model.normalization=instance", "model.loss=hinge"), COLOUR),
    Case("cyclegan", "", ("model.base=none", "model.identity=0", "model.past=0", "model.domains=[2,5]"), COLOUR),
]

CASES += [Case("wae"), Case("rae", "conv"), Case("sparse-ae")]

CASES += [Case("vq-vae"), Case("vq-vae", "", ("model.condition=label", "model.likelihood=gaussian"), COLOUR)]

CASES += [Case("cvae"), Case("cvae", "", ("model.likelihood=gaussian",), PLANE), Case("tc-vae")]
CASES += [Case("iwae", "", ("model.importance=3",)), Case("vae", "", ("model.free_bits=0.1", "model.kl_warmup=1"))]
CASES += [Case("vae", "", ("model.capacity=5", "model.capacity_weight=10"))]

CASES += [Case("aae"), Case("aae", "conv", ("model.prior=mixture", "model.condition=label", "model.r1=1"))]
CASES += [Case("vae-gan", "", ("model.pixel_weight=1",)), Case("vae-gan", "mlp", kind=PLANE)]

CASES += [
    Case("sngan"),
    Case("sagan"),
    Case("acgan"),
    Case("lsgan"),
    Case("ae", "resnet-gan"),
    Case("vae", "resnet-gan"),
]
CASES += [Case("ae", "resnet-gan-attention"), Case("vae", "resnet-gan-attention", kind=COLOUR)]
CASES += [
    Case("sagan", "", ("model.condition=auxiliary", "model.class_weight=2", "model.r1=1"), COLOUR),
    Case(
        "acgan", "", ("model.network.upsampling=nearest", "model.network.encoder_width=8", "model.network.dropout=0.2")
    ),
]

CASES += [
    Case("stylegan", "", ("model.r1_every=1", "model.path_every=1"), COLOUR),
    Case(
        "stylegan",
        "",
        ("model.outputs=residual", "model.blur=false", "model.noise=false", "model.condition=projection"),
    ),
]

every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_recipe = pytest.mark.parametrize("case", DEFAULTS, ids=str)


@functools.cache
def config_of(case: Case) -> Config:
    chosen = [f"model/network={case.network}"] if case.network else []
    config = compose([f"model={case.model}", *chosen, *case.settings])
    # A few channels are enough here.
    for settings in (config.model, config.model.get("network", {})):
        settings.update(dict.fromkeys(settings.keys() & {"width", "most", "discriminator_width", "prior_width"}, 16))
    if "blocks" in config.model:
        config.model["blocks"] = 2
    return config


def built(case: Case, seed: int = 1) -> Model:
    return build_model(replace(config_of(case), seed=seed), {"x": case.kind, "label": DIGITS}, pixels())


def batch_for(case: Case, count: int = 8) -> Batch:
    if isinstance(case.kind, Image):
        return tiny.batch(case.kind, count)
    angles = torch.arange(count) / count * 2 * torch.pi
    return {"x": torch.stack([angles.cos(), angles.sin()], 1), "label": torch.arange(count) % len(DIGITS)}


def results(model: Model, batch: Batch, step: int = 1) -> Iterator[tuple[str, Result]]:
    """Yield player and result of each turn of a step; what a turn hands on is in the batch of the next."""
    for turn in model.turns(step):
        result = turn.loss(batch)
        batch = batch | {name: values.detach() for name, values in result.handed_on.items()}
        yield turn.player, result


def weights_of(model: Model, player: str) -> list[torch.nn.Parameter]:
    return [weight for module, _ in modules_of(model.players()[player]) for weight in module.parameters()]


def scalars(result: Result) -> dict[str, Tensor]:
    return {"loss": result.loss, **result.shown}


def test_the_cases_cover_every_recipe_class_network_and_loss() -> None:
    networks = {name for name in choices("model/network") if not name.endswith("-small")}
    configs = [config_of(case) for case in CASES]
    assert {type(built(case)) for case in DEFAULTS} == set(ABILITIES_OF)
    for model in ("autoencoder", "vae", "gan"):
        chosen = [config.model["network"]["name"] for config in configs if config.model["class"] == model]
        assert networks <= {name.removesuffix("-small") for name in chosen}, model
    assert {config.model["loss"] for config in configs if "loss" in config.model} == set(LOSSES)


@every_recipe
def test_the_players_own_every_weight_once_and_each_has_an_optimizer_and_a_turn(case: Case) -> None:
    model = built(case)
    owners = Counter(id(weight) for player in model.players() for weight in weights_of(model, player))
    assert owners == Counter(id(weight) for weight in model.parameters())
    assert set(model.players()) == set(config_of(case).optimizers)
    assert {turn.player for step in (*range(100), 10**9) for turn in model.turns(step)} == set(model.players())


@every_case
def test_a_loss_is_a_finite_scalar_whose_gradient_reaches_every_weight_of_its_player(case: Case) -> None:
    model, batch = built(case), batch_for(case)
    for part in model.modules():
        if isinstance(part, Attention):
            # It starts at 0, and then no gradient reaches what it multiplies.
            torch.nn.init.ones_(part.gamma)
    before = {name: values.clone() for name, values in batch.items()}
    for player, result in results(model, batch):
        for name, value in scalars(result).items():
            assert value.shape == (), name
            assert value.dtype == torch.float32, name
            assert value.isfinite(), name
        for weight, gradient in _gradients(model, player, result):
            assert gradient.isfinite().all()
            assert weight.dim() == 1 or gradient.any()
    # A turn writes nothing into its batch.
    assert batch.keys() == before.keys()
    assert all(torch.equal(values, before[name]) for name, values in batch.items())


def _gradients(model: Model, player: str, result: Result) -> Iterator[tuple[Tensor, Tensor]]:
    weights = weights_of(model, player)
    return zip(weights, torch.autograd.grad(result.loss, weights), strict=True)


@every_case
def test_a_batch_of_every_item_twice_has_the_same_loss(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn", lambda *size, **_: torch.zeros(*size))
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    monkeypatch.setattr(torch, "rand", lambda size, **_: torch.full(size, 0.3))
    monkeypatch.setattr(torch, "randint", lambda low, high, size, **_: torch.ones(size, dtype=torch.long))
    once = batch_for(case)
    twice = {name: torch.cat([values, values]) for name, values in once.items()}
    # Two models, because each call improves the estimate of a spectral norm.
    for (_, expected), (_, result) in zip(results(built(case), once), results(built(case), twice), strict=True):
        skipped = {"loss", *OF_PAIRS} if OF_PAIRS & result.shown.keys() else set()
        for name, value in scalars(result).items():
            if name not in skipped:
                torch.testing.assert_close(value, scalars(expected)[name], rtol=1e-4, atol=1e-4)


@every_case
def test_each_players_loss_falls_within_30_moves_of_its_own_on_one_batch(case: Case) -> None:
    batch = batch_for(case, count=4)
    for number in range(len(built(case).turns(1))):
        model = built(case)
        turn = model.turns(1)[number]
        optimizer = torch.optim.Adam(weights_of(model, turn.player), lr=1e-3)
        losses = []
        for _ in range(30):
            torch.manual_seed(0)  # With the same noise it is the same game each time.
            optimizer.zero_grad()
            loss = turn.loss(batch).loss
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        first, last = sum(losses[:5]) / 5, sum(losses[-5:]) / 5
        # By little, because a new discriminator without normalisation is nearly flat.
        assert last < first - 0.02 * abs(first)


@every_case
def test_every_ability_returns_what_the_contract_promises(case: Case) -> None:
    model, batch = built(case).eval(), batch_for(case)
    latent, shape = getattr(model, "latent_dim", 0), case.kind.shape
    large = (8, *shape[:1], *(getattr(model, "scale", 0) * side for side in shape[1:]))
    promised = {
        "reconstruct": ((batch,), (8, *shape)),
        "encode": ((batch,), (8, latent)),
        "decode": ((torch.randn(3, latent), {"label": torch.arange(3)}), (3, *shape)),
        "sample": ((5,), (5, *shape)),
        "score": ((batch,), (8,)),
        "upscale": ((batch["x"],), large),
        "translate": ((_sources(model, batch), batch["label"] % 2), (8, *shape)),
    }
    has = set(abilities_of(model))
    assert has == ABILITIES_OF[type(model)] | ({"infer"} if conditions(model) and hasattr(model, "infer") else set())
    with torch.no_grad():
        for name in has - {"infer", "mix"}:
            arguments, expected = promised[name]
            returned = getattr(model, name)(*arguments)
            assert returned.shape == expected, name
            assert returned.dtype == torch.float32, name
            assert returned.isfinite().all(), name
            unbounded = name in ("encode", "score") or isinstance(case.kind, Points)
            assert unbounded or ((returned >= 0) & (returned <= 1)).all(), name
        if isinstance(model, Restores):
            damaged, clean = model.damage(batch)
            assert _restored(model, damaged).shape == clean.shape


def _restored(model: Model, items: Tensor) -> Tensor:
    if isinstance(model, Upscales):
        return model.upscale(items)
    if isinstance(model, Translates):
        return model.translate(items)
    assert isinstance(model, Reconstructs)
    return model.reconstruct({"x": items})


def _sources(model: Model, batch: Batch) -> Tensor:
    """Return what a model that translates takes; other models take the items."""
    return model.damage(batch)[0] if isinstance(model, Translates) and isinstance(model, Restores) else batch["x"]


@every_recipe
def test_validation_returns_finite_scalars_and_changes_no_weight(case: Case) -> None:
    model, batch = built(case).eval(), batch_for(case)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        values = scalars(model.validate(batch))
    assert all(value.shape == () and value.isfinite() for value in values.values())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("case", [Case(name) for name in ("vae", "cvae", "dcgan", "cgan", "vq-vae")], ids=str)
def test_samples_depend_on_the_seed_and_not_on_how_they_are_split(case: Case) -> None:
    model = built(case).eval()
    assert isinstance(model, Samples)
    whole, first, second = (torch.Generator().manual_seed(seed) for seed in (3, 3, 4))
    with torch.no_grad():
        expected = model.sample(9, generator=whole)
        parts = torch.cat([model.sample(count, generator=first) for count in (2, 3, 4)])
        torch.testing.assert_close(parts, expected, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(model.sample(9, generator=second), expected, atol=1e-4)


@every_recipe
def test_the_first_weights_depend_on_the_seed_alone(case: Case) -> None:
    first, again, other = (built(case, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    # A store of past images is empty at first.
    matrices = [name for name, weight in first.items() if weight.dim() > 1 and weight.any()]
    assert matrices
    assert not any(torch.equal(first[name], other[name]) for name in matrices)


@every_recipe
def test_a_model_with_the_state_of_another_does_the_same(case: Case) -> None:
    model, twin, batch = built(case, 1), built(case, 2), batch_for(case)
    for _ in results(model, batch):  # Moves the running means of batch normalisation.
        pass
    twin.load_state_dict(model.state_dict())
    state = twin.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    for name in ABILITIES_OF[type(model)] & {"reconstruct", "sample"}:
        returned = []
        for one in (model, twin):
            torch.manual_seed(0)
            with torch.no_grad():
                returned.append(getattr(one.eval(), name)(3 if name == "sample" else batch))
        assert torch.equal(*returned), name
