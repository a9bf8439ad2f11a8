"""Super-resolution: the networks, the training images, the turns, and the runs."""

import math
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.extractors import EXTRACTORS
from genlab.extractors.pixels import Pixels
from genlab.kinds import Image
from genlab.kinds.resampling import enlarged, luma, shrunk
from genlab.models.srgan import SRGAN
from genlab.models.srresnet import SRResNet
from genlab.networks import super_resolution
from genlab.networks.extractor import Extractor
from genlab.networks.super_resolution import Block, SRDiscriminator, Upscaler
from genlab.registry import ConfigError
from genlab.runs import open as open_run
from genlab.runs import run
from genlab.training import checkpoint
from genlab.training.journal import read
from tests.fixtures.program import assert_refused, genlab

COLOUR = Image(3, 24, 24)
SMALL = ["model.blocks=1", "model.width=8", "model.scale=2", "data=digits", "trainer=smoke"]
GAME = ["model=srgan", "model/features=pixels", "model.discriminator_width=4", *SMALL]


def tiny(kind: Image = COLOUR, **settings: object) -> SRResNet:
    torch.manual_seed(3)
    chosen = {"scale": 2, "blocks": 1, "width": 8, "normalization": "none", **settings}
    return SRResNet(x=kind, **chosen)  # type: ignore[arg-type]


def tiny_game(kind: Image = COLOUR, factor: float = 1.0, **settings: object) -> SRGAN:
    torch.manual_seed(3)
    chosen = {"scale": 2, "blocks": 1, "width": 8, "discriminator_width": 4, "normalization": "none", **settings}
    return SRGAN(x=kind, features=Pixels(factor=factor), **chosen)  # type: ignore[arg-type]


def upscaler(scale: int = 4, blocks: int = 2, **settings: object) -> Upscaler:
    torch.manual_seed(4)
    chosen = {"channels": 3, "width": 4, "normalization": "batch", "base": "none", **settings}
    return Upscaler(scale=scale, blocks=blocks, **chosen).eval()  # type: ignore[arg-type]


# The networks.


@pytest.mark.parametrize("base", ["none", "bicubic"])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_images_of_any_size_are_upscaled(scale: int, base: str) -> None:
    model = tiny(Image(3, 32, 32), scale=scale, base=base).eval()
    for height, width in ((1, 1), (7, 11), (20, 3)):
        with torch.no_grad():
            upscaled = model.upscale(torch.rand(2, 3, height, width))
        assert upscaled.shape == (2, 3, scale * height, scale * width)


def test_the_generator_of_the_paper_has_the_weights_of_the_paper() -> None:
    paper = Upscaler(3, 4, blocks=16, width=64, normalization="batch", base="none")
    three = 64 * 64 * 9
    enter, leave = 3 * 64 * 81 + 64 + 64, 64 * 3 * 81 + 3
    blocks = 16 * (2 * (three + 2 * 64) + 64) + three + 2 * 64
    stages = 2 * (4 * three + 4 * 64 + 64)
    assert sum(weight.numel() for weight in paper.parameters()) == enter + blocks + stages + leave


def test_the_discriminator_of_the_paper_has_the_layers_of_the_paper() -> None:
    discriminator = SRDiscriminator(Image(3, 96, 96), 64)
    found = [layer for layer in discriminator.layers if isinstance(layer, nn.Conv2d | nn.Linear)]
    sizes = [(layer.out_channels, layer.stride[0]) for layer in found if isinstance(layer, nn.Conv2d)]
    assert sizes == [(64, 1), (64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2)]
    dense = [(layer.in_features, layer.out_features) for layer in found if isinstance(layer, nn.Linear)]
    assert dense == [(512 * 6 * 6, 1024), (1024, 1)]
    assert discriminator(torch.rand(2, 3, 96, 96)).shape == (2,)


def test_a_block_adds_two_convolutions_to_its_input() -> None:
    torch.manual_seed(0)
    block, values = Block(4, "none"), torch.randn(2, 4, 5, 6)
    first, slope, second = block.body
    assert isinstance(first, nn.Conv2d)
    assert isinstance(slope, nn.PReLU)
    assert isinstance(second, nn.Conv2d)
    inner = functional.conv2d(values, first.weight, first.bias, padding=1)
    inner = torch.where(inner > 0, inner, slope.weight.view(1, -1, 1, 1) * inner)
    expected = values + functional.conv2d(inner, second.weight, second.bias, padding=1)
    torch.testing.assert_close(block(values), expected)


def test_a_pixel_shuffle_arranges_four_channels_as_two_by_two_pixels() -> None:
    net = upscaler(scale=2, width=1)
    convolution, shuffle = net.enlarge[0], net.enlarge[1]
    seen = torch.rand(1, 1, 3, 5)
    four = convolution(seen)
    shuffled = shuffle(four)
    for row in range(6):
        for column in range(10):
            assert shuffled[0, 0, row, column] == four[0, 2 * (row % 2) + column % 2, row // 2, column // 2]


@pytest.mark.parametrize("base", ["none", "bicubic"])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_pixel_depends_on_all_pixels_within_its_reach_and_on_none_beyond(scale: int, base: str) -> None:
    net = upscaler(scale=scale, blocks=1, base=base).double()
    reach, side = net.reach_before + net.reach_after, 31
    image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    middle = scale * (side // 2)
    net(image)[0, :, middle : middle + scale, middle : middle + scale].sum().backward()
    assert image.grad is not None
    touched = image.grad[0].abs().sum(0).nonzero()
    furthest = int((touched - side // 2).abs().max())
    assert reach - 1 <= furthest <= reach


@pytest.mark.parametrize("size", [(1, 3, 5, 40), (2, 3, 33, 9)])
def test_strips_give_the_same_as_the_whole_image(size: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(size)
    for scale in (2, 4, 8):
        net = upscaler(scale=scale)
        with torch.no_grad():
            whole = net(images)
            for strip in (1, 100, 10**6):
                monkeypatch.setattr(super_resolution, "_STRIP", strip)
                torch.testing.assert_close(net.in_strips(images), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("base", ["none", "bicubic"])
def test_training_reaches_black_and_white_and_overshoots_neither(base: str) -> None:
    model = tiny(Image(1, 16, 16), base=base)
    real = torch.zeros(2, 1, 16, 16)
    real[1] = 1
    optimizer = torch.optim.Adam(model.generator.parameters(), lr=3e-3)
    for _ in range(500):
        optimizer.zero_grad()
        model.loss({"x": real}).loss.backward()
        optimizer.step()
    with torch.no_grad():
        raw, held = model.eval().generator(shrunk(real, 2)), model.upscale(shrunk(real, 2))
    torch.testing.assert_close(raw, real, rtol=0, atol=0.05)
    assert (held >= 0).all()
    assert (held <= 1).all()


def test_pixels_beyond_white_have_a_gradient() -> None:
    model = tiny(Image(1, 16, 16))
    with torch.no_grad():
        leave = model.generator.enlarge[-1]
        assert isinstance(leave, nn.Conv2d)
        assert leave.bias is not None
        leave.bias.fill_(3)  # Every pixel is above 1.
    model.loss({"x": torch.rand(2, 1, 16, 16)}).loss.backward()
    assert leave.bias.grad is not None
    assert leave.bias.grad.abs().sum() > 0


# The training images.


def test_crops_are_taken_anywhere_in_training_and_in_the_middle_elsewhere() -> None:
    model = tiny(Image(1, 9, 10), crop=6)
    places = torch.arange(90.0).view(1, 1, 9, 10).repeat(400, 1, 1, 1) / 90
    torch.manual_seed(0)
    _, crops = model.damage({"x": places})
    corners = {round(float(crop[0, 0, 0]) * 90) for crop in crops}
    assert corners == {10 * row + column for row in range(4) for column in range(5)}
    for crop in crops[:20]:
        row, column = divmod(round(float(crop[0, 0, 0]) * 90), 10)
        assert torch.equal(crop, places[0, :, row : row + 6, column : column + 6])
    assert torch.equal(model.eval().damage({"x": places})[1], places[:, :, 1:7, 2:8])


def test_a_crop_is_the_largest_part_that_the_scale_divides() -> None:
    assert tiny(Image(1, 30, 17), scale=4).crop == (28, 16)
    assert tiny(Image(1, 30, 17), scale=4, crop=15).crop == (12, 12)


def test_the_small_image_is_that_of_the_bicubic_filter_in_bytes_and_can_be_degraded() -> None:
    real = torch.rand(4, 3, 24, 24)
    plain, _ = tiny().damage({"x": real})
    assert torch.equal(plain, shrunk(real, 2))
    for degradation in ({"blur": 4.0}, {"noise": 0.1}, {"quality": 20}):
        torch.manual_seed(0)
        small, clean = tiny(**degradation).damage({"x": real})
        assert torch.equal(clean, real)
        assert (small - plain).abs().mean() > 2 / 255
        torch.testing.assert_close(small * 255, (small * 255).round())
        assert (small >= 0).all()
        assert (small <= 1).all()


def test_half_precision_changes_neither_the_small_image_nor_the_type_of_the_metrics() -> None:
    model, batch = tiny(blur=1.0, noise=0.05, quality=30).eval(), {"x": torch.rand(4, *COLOUR.shape)}
    smalls = []
    for half in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half), torch.no_grad():
            smalls.append(model.damage(batch)[0])
            result = model.validate(batch)
        assert all(value.dtype == torch.float32 for value in (result.loss, *result.shown.values()))
    assert torch.equal(*smalls)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (
            COLOUR,
            {"crop": 96},
            "crop must be at most 24 for images of 24 x 24 pixels, got 96; set a smaller model.crop.",
        ),
        (
            Image(3, 12, 40),
            {"scale": 8},
            "scale 8 needs training images of at least 16 x 16 pixels, got 12 x 40.",
        ),
        (COLOUR, {"crop": 3}, "scale 2 needs training images of at least 4 x 4 pixels, got 3 x 3."),
        (
            COLOUR,
            {"quality": 0},
            "quality must be between 1 and 100, got 0; set model.quality=null for no compression.",
        ),
    ],
)
def test_images_and_settings_that_do_not_fit_are_refused(kind: Image, settings: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tiny(kind, **settings)
    assert str(caught.value) == message


# Turns.


def test_only_pixels_are_trained_on_until_the_discriminator_starts() -> None:
    model = tiny_game(pixel_steps=5)
    for step in (0, 4):
        assert [(turn.player, turn.loss) for turn in model.turns(step)] == [("generator", model.loss)]
    for step in (5, 6, 10**9):
        turns = [("generator", model.perceptual_loss), ("discriminator", model.discriminator_loss)]
        assert [(turn.player, turn.loss) for turn in model.turns(step)] == turns


def test_an_srresnet_has_one_player_and_only_the_pixel_loss() -> None:
    model = tiny()
    assert set(model.players()) == {"generator"}
    assert [(turn.player, turn.loss) for turn in model.turns(10**9)] == [("generator", model.loss)]
    real = torch.rand(4, *COLOUR.shape)
    torch.testing.assert_close(model.loss({"x": real}).loss, (model.generator(shrunk(real, 2)) - real).square().mean())


def test_the_loss_of_the_generator_weighs_content_pixels_and_the_discriminator() -> None:
    model = tiny_game(pixel_steps=0, pixels=0.25, adversarial=0.5, factor=3.0)
    real = torch.rand(4, *COLOUR.shape)
    result = model.perceptual_loss({"x": real})
    generated = model.generator(shrunk(real, 2))
    squared = (generated - real).square().mean()
    adversarial = functional.binary_cross_entropy_with_logits(model.discriminator(generated), torch.ones(4))
    assert result.shown.keys() == {"content_pixels", "adversarial", "pixels"}
    torch.testing.assert_close(result.shown["content_pixels"], squared)
    torch.testing.assert_close(result.shown["adversarial"], adversarial)
    torch.testing.assert_close(result.loss, 3.0 * squared + 0.5 * adversarial + 0.25 * squared)


def test_the_discriminator_gets_the_crops_and_the_upscaled_images_that_the_generator_hands_on() -> None:
    model = tiny_game(pixel_steps=0, crop=16)
    batch = {"x": torch.rand(4, *COLOUR.shape)}
    handed_on = model.perceptual_loss(batch).handed_on
    assert batch.keys() == {"x"}
    real, generated = handed_on["real"], handed_on["generated"]
    assert real.shape == generated.shape == (4, 3, 16, 16)
    assert not generated.requires_grad
    labels = torch.cat([torch.ones(4), torch.zeros(4)])
    scores = torch.cat([model.discriminator(real), model.discriminator(generated)])
    expected = 2 * functional.binary_cross_entropy_with_logits(scores, labels)
    torch.testing.assert_close(model.discriminator_loss({**batch, **handed_on}).loss, expected)


def test_validation_measures_the_psnr_and_its_difference_to_the_bicubic_filter() -> None:
    model = tiny().eval()
    real = torch.rand(3, *COLOUR.shape)
    with torch.no_grad():
        result = model.validate({"x": real})
        small = shrunk(real, 2)
        upscaled, filtered = model.upscale(small), enlarged(small, 2)

    def psnr(images: Tensor) -> float:
        errors = (luma(images) - luma(real)).square().mean((1, 2, 3))
        return sum(-10 * math.log10(error) for error in errors.tolist()) / 3

    assert result.shown.keys() == {"psnr_y", "psnr_y_over_bicubic"}
    torch.testing.assert_close(result.loss, (upscaled - real).square().mean())
    assert result.shown["psnr_y"].item() == pytest.approx(psnr(upscaled), abs=1e-3)
    assert result.shown["psnr_y_over_bicubic"].item() == pytest.approx(psnr(upscaled) - psnr(filtered), abs=1e-3)


def test_validation_of_an_srgan_measures_its_content_loss_if_it_has_features() -> None:
    batch = {"x": torch.rand(3, *COLOUR.shape)}
    with torch.no_grad():
        shown = tiny_game().eval().validate(batch).shown
        opened = SRGAN(x=COLOUR, features=None, scale=2, blocks=1, width=8, discriminator_width=4).eval()
        assert opened.validate(batch).shown.keys() == {"psnr_y", "psnr_y_over_bicubic"}
    assert shown.keys() == {"psnr_y", "psnr_y_over_bicubic", "content_pixels"}


# Runs.


def test_a_run_switches_from_pixels_to_the_discriminator_at_its_step(tmp_path: Path) -> None:
    done = genlab(tmp_path, "train", *GAME, "model.pixel_steps=4", "trainer.steps=8", "trainer.log_every=1", "run=mine")
    assert done.returncode == 0, done.stderr
    lines = [line for line in read(tmp_path / "mine") if line["split"] == "train"]
    assert [line["step"] for line in lines if "discriminator/loss" in line] == [5, 6, 7, 8]
    assert [line["step"] for line in lines if "generator/content_pixels" in line] == [5, 6, 7, 8]
    assert run.Run(tmp_path / "mine").facts["abilities"] == ["upscale"]
    kept = checkpoint.newest(tmp_path / "mine/checkpoints")
    assert kept
    assert kept.facts["extractors"] == {"features": Pixels(factor=1.0).digest}


def other_pixels(*, factor: float) -> Pixels:
    """Create an extractor of the same name with another weight."""
    other = Pixels(factor=factor)
    other.register_buffer("changed", torch.ones(3), persistent=False)
    return other


def test_a_run_cannot_be_resumed_with_other_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert genlab(tmp_path, "train", *GAME, "model.pixel_steps=1", "run=mine").returncode == 0
    monkeypatch.setitem(EXTRACTORS, "pixels", other_pixels)
    done = genlab(tmp_path, "resume", "mine", "trainer.steps=4")
    digests = [extractor(factor=1.0).digest for extractor in (Pixels, other_pixels)]
    assert_refused(
        done, "The run was trained with other features: their digest was {}, and now it is {}.".format(*digests)
    )


@pytest.mark.parametrize("name", ["lite0", "pixels"])
def test_the_state_of_a_model_does_not_contain_its_features(name: str) -> None:
    def build(features: Extractor | None) -> SRGAN:
        return SRGAN(x=COLOUR, features=features, scale=2, blocks=1, width=8, pixel_steps=0, discriminator_width=4)

    alone, taught = build(None), build(EXTRACTORS[name](factor=1.0))
    image = torch.rand(1, *COLOUR.shape)
    features = taught.features
    assert features is not None
    before = features(image)
    taught.load_state_dict(alone.state_dict())
    alone.load_state_dict(taught.state_dict())
    taught.train()
    assert torch.equal(features(image), before)


def test_an_srgan_can_start_with_the_weights_of_an_srresnet(tmp_path: Path) -> None:
    taught = genlab(tmp_path, "train", "model=srresnet", *SMALL, "trainer.steps=3", "run=first")
    assert taught.returncode == 0, taught.stderr
    done = genlab(tmp_path, "train", *GAME, "model.pixel_steps=0", "start=first", "trainer.steps=1", "run=second")
    assert done.returncode == 0, done.stderr
    begun = checkpoint.load(checkpoint.steps(tmp_path / "second/checkpoints")[0])
    theirs = open_run.open_model(run.Run(tmp_path / "first")).state_dict()
    for name, value in theirs.items():
        assert torch.equal(begun.tensors[f"model/{name}"], value), name
        assert torch.equal(begun.tensors[f"ema/{name}"], value), name
    sentence = f"The model begins with {len(theirs)} of its {len(begun.part('model'))} tensors from first."
    assert sentence in done.stdout
    assert sentence in (tmp_path / "second/log.txt").read_text()
    assert "differ" not in done.stdout
    assert run.Run(tmp_path / "second").facts["start"] == "first"


def test_latest_is_the_latest_run_before_this_one_also_in_a_sweep(tmp_path: Path) -> None:
    for number in (1, 2):
        done = genlab(
            tmp_path, "train", "model=srresnet", *SMALL, f"seed={number}", "start=latest" if number > 1 else "seed=1"
        )
        assert done.returncode == 0, done.stderr
    first, second = run.runs(tmp_path / "outputs")
    assert run.Run(second.path).facts["start"] == str(first.path.relative_to(tmp_path))
    swept = genlab(tmp_path, "train", "-m", "model=srresnet", *SMALL, "seed=1,2", "start=latest", "run=all")
    assert swept.returncode == 0, swept.stderr
    starts = {there.facts["start"] for there in run.runs(tmp_path / "all")}
    assert starts == {str(second.path.relative_to(tmp_path))}


def test_a_start_from_a_run_with_other_settings_names_them(tmp_path: Path) -> None:
    assert genlab(tmp_path, "train", "model=srresnet", *SMALL, "run=first").returncode == 0
    done = genlab(tmp_path, "train", "model=srresnet", *SMALL, "model.base=bicubic", "start=first", "run=second")
    assert done.returncode == 0, done.stderr
    assert "Settings that differ: base (none there, bicubic here)." in done.stdout


def test_a_run_that_was_killed_at_its_start_starts_again_with_the_same_weights(tmp_path: Path) -> None:
    arguments = ["train", *GAME, "model.pixel_steps=0", "start=first", "trainer.steps=1", "run=second"]
    assert genlab(tmp_path, "train", "model=srresnet", *SMALL, "run=first").returncode == 0
    assert genlab(tmp_path, *arguments).returncode == 0
    before = checkpoint.load(checkpoint.steps(tmp_path / "second/checkpoints")[0])
    # The state of a run that is killed just after its folder is made.
    shutil.rmtree(tmp_path / "second/checkpoints")
    (tmp_path / "second/metrics.jsonl").unlink()
    run.Run(tmp_path / "second").record(state="running", step=0)
    assert genlab(tmp_path, *arguments).returncode == 0
    again = checkpoint.load(checkpoint.steps(tmp_path / "second/checkpoints")[0])
    assert [name for name, value in before.tensors.items() if not torch.equal(value, again.tensors[name])] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model=srresnet", "model/features=pixels"], "This model takes no features. "),
        (["model=srgan", "model/features=pixels", "model.features.factor=-1"], "factor must be at least 0, got -1"),
        (["model=srgan", "model/features=pixel"], "Unknown features 'pixel'. Did you mean 'pixels'?"),
        (["model=srgan", "model/features=pixels", "model.crop=-5"], "crop must be at least 1, got -5."),
        (
            ["model=srresnet", "data=gaussian"],
            "model 'srresnet' takes images, and data 'gaussian' holds points (1 number each).",
        ),
    ],
)
def test_a_mistake_in_the_settings_is_explained(tmp_path: Path, settings: list[str], message: str) -> None:
    small = [setting for setting in SMALL if "data=" not in setting or "data=gaussian" not in settings]
    assert_refused(genlab(tmp_path, "train", *settings, *small), message)
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    assert_refused(genlab(tmp_path, "train", *GAME, "start=nowhere"), "There is no run 'nowhere'.")
    smaller = ["model=ae", "model.network.hidden=[8]", "data=digits", "trainer=smoke", "run=ae"]
    assert genlab(tmp_path, "train", *smaller).returncode == 0
    assert_refused(genlab(tmp_path, "train", *GAME, "start=ae", "run=new"), "no weight of the same name and size")
    assert not (tmp_path / "new").exists()
