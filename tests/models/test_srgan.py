"""Super-resolution: what the networks are made of, who teaches when, and what a run of it keeps."""

import math
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.contract import Shape
from genlab.extractors.features import FEATURES
from genlab.extractors.features.pixels import Pixels
from genlab.kinds.resampling import enlarged, luma, shrunk
from genlab.models import srresnet
from genlab.models.srgan import SRGAN
from genlab.models.srresnet import Block, Judge, SRResNet
from genlab.networks.extractor import Features
from genlab.registry import ConfigError
from genlab.runs import open as open_run
from genlab.runs import run
from genlab.training import checkpoint
from genlab.training.journal import read
from tests.fixtures.program import assert_refused, genlab

COLOUR = Shape(3, 24, 24)
SMALL = ["model.blocks=1", "model.width=8", "model.scale=2", "data=digits", "trainer=smoke"]
GAME = ["model=srgan", "model.features=pixels", "model.critic_width=4", *SMALL]


def tiny(shape: Shape = COLOUR, **settings: object) -> SRGAN:
    torch.manual_seed(3)
    chosen = {"scale": 2, "blocks": 1, "width": 8, "critic_width": 4, "normalization": "none", **settings}
    return SRGAN(shape=shape, features=FEATURES["pixels"](), **chosen)  # type: ignore[arg-type]


def enlarger(scale: int = 4, blocks: int = 2, **settings: object) -> SRResNet:
    torch.manual_seed(4)
    chosen = {"channels": 3, "width": 4, "normalization": "batch", "base": "none", **settings}
    return SRResNet(scale=scale, blocks=blocks, **chosen).eval()  # type: ignore[arg-type]


# The networks.


@pytest.mark.parametrize("base", ["none", "bicubic"])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_an_image_of_any_size_becomes_so_many_times_larger(scale: int, base: str) -> None:
    model = tiny(Shape(3, 32, 32), scale=scale, base=base).eval()
    for height, width in ((1, 1), (7, 11), (20, 3)):
        with torch.no_grad():
            made = model.upscale(torch.rand(2, 3, height, width))
        assert made.shape == (2, 3, scale * height, scale * width)


def test_the_papers_generator_has_the_papers_weights() -> None:
    paper = SRResNet(3, 4, blocks=16, width=64, normalization="batch", base="none")
    three = 64 * 64 * 9
    enter, leave = 3 * 64 * 81 + 64 + 64, 64 * 3 * 81 + 3
    blocks = 16 * (2 * (three + 2 * 64) + 64) + three + 2 * 64
    stages = 2 * (4 * three + 4 * 64 + 64)
    assert sum(weight.numel() for weight in paper.parameters()) == enter + blocks + stages + leave


def test_the_papers_critic_has_the_papers_layers() -> None:
    judge = Judge(Shape(3, 96, 96), 64)
    found = [layer for layer in judge.layers if isinstance(layer, nn.Conv2d | nn.Linear)]
    sizes = [(layer.out_channels, layer.stride[0]) for layer in found if isinstance(layer, nn.Conv2d)]
    assert sizes == [(64, 1), (64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2)]
    dense = [(layer.in_features, layer.out_features) for layer in found if isinstance(layer, nn.Linear)]
    assert dense == [(512 * 6 * 6, 1024), (1024, 1)]
    assert judge(torch.rand(2, 3, 96, 96)).shape == (2,)


def test_a_block_adds_two_convolutions_to_what_it_gets() -> None:
    torch.manual_seed(0)
    block, values = Block(4, "none"), torch.randn(2, 4, 5, 6)
    first, slope, second = block.body[0], block.body[1], block.body[2]
    inner = functional.conv2d(values, first.weight, first.bias, padding=1)
    inner = torch.where(inner > 0, inner, slope.weight.view(1, -1, 1, 1) * inner)
    expected = values + functional.conv2d(inner, second.weight, second.bias, padding=1)
    torch.testing.assert_close(block(values), expected)


def test_a_pixel_shuffle_lays_four_channels_out_as_two_by_two() -> None:
    net = enlarger(scale=2, width=1)
    convolution, shuffle = net.enlarge[0], net.enlarge[1]
    seen = torch.rand(1, 1, 3, 5)
    four = convolution(seen)
    made = shuffle(four)
    for row in range(6):
        for column in range(10):
            assert made[0, 0, row, column] == four[0, 2 * (row % 2) + column % 2, row // 2, column // 2]


@pytest.mark.parametrize("base", ["none", "bicubic"])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_pixel_depends_on_all_within_its_reach_and_on_none_beyond(scale: int, base: str) -> None:
    net = enlarger(scale=scale, blocks=1, base=base).double()
    reach, side = net.reach_before + net.reach_after, 31
    image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    middle = scale * (side // 2)
    net(image)[0, :, middle : middle + scale, middle : middle + scale].sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    touched = image.grad[0].abs().sum(0).nonzero()
    furthest = int((touched - side // 2).abs().max())
    assert reach - 1 <= furthest <= reach


@pytest.mark.parametrize("size", [(1, 3, 5, 40), (2, 3, 33, 9)])
def test_strips_give_what_the_whole_gives(size: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(size)
    for scale in (2, 4, 8):
        net = enlarger(scale=scale)
        with torch.no_grad():
            whole = net(images)
            for strip in (1, 100, 10**6):
                monkeypatch.setattr(srresnet, "_STRIP", strip)
                torch.testing.assert_close(net.in_strips(images), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("base", ["none", "bicubic"])
def test_what_is_made_has_the_range_of_what_is_wanted(base: str) -> None:
    """Black and white are both within reach, and neither is overshot once it is learnt."""
    model = tiny(Shape(1, 16, 16), base=base)
    real = torch.zeros(2, 1, 16, 16)
    real[1] = 1
    optimizer = torch.optim.Adam(model.generator.parameters(), lr=3e-3)
    for _ in range(500):
        optimizer.zero_grad()
        model.pixel_loss({"image": real})["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        raw, held = model.eval().generator(shrunk(real, 2)), model.upscale(shrunk(real, 2))
    torch.testing.assert_close(raw, real, rtol=0, atol=0.05)
    assert (held >= 0).all()
    assert (held <= 1).all()


def test_a_gradient_leads_back_from_beyond_black_and_white() -> None:
    model = tiny(Shape(1, 16, 16))
    with torch.no_grad():
        leave = model.generator.enlarge[-1]
        assert isinstance(leave, nn.Conv2d)
        assert leave.bias is not None
        leave.bias.fill_(3)  # everything is whiter than white
    model.pixel_loss({"image": torch.rand(2, 1, 16, 16)})["loss"].backward()  # type: ignore[no-untyped-call]
    assert leave.bias.grad is not None
    assert leave.bias.grad.abs().sum() > 0


# What is learnt from.


def test_crops_are_parts_of_the_images_anywhere_in_training_and_the_middle_elsewhere() -> None:
    model = tiny(Shape(1, 9, 10), crop=6)
    places = torch.arange(90.0).view(1, 1, 9, 10).repeat(400, 1, 1, 1) / 90
    torch.manual_seed(0)
    crops = model._cropped(places)
    corners = {round(float(crop[0, 0, 0]) * 90) for crop in crops}
    assert corners == {10 * row + column for row in range(4) for column in range(5)}
    for crop in crops[:20]:
        row, column = divmod(round(float(crop[0, 0, 0]) * 90), 10)
        assert torch.equal(crop, places[0, :, row : row + 6, column : column + 6])
    assert torch.equal(model.eval()._cropped(places), places[:, :, 1:7, 2:8])


def test_of_images_that_the_scale_does_not_divide_the_largest_part_that_it_does_is_learnt() -> None:
    assert tiny(Shape(1, 30, 17), scale=4).side == (28, 16)
    assert tiny(Shape(1, 30, 17), scale=4, crop=15).side == (12, 12)


def test_the_small_image_is_bytes_and_the_filters_unless_it_is_spoilt() -> None:
    real = torch.rand(4, 3, 24, 24)
    plain = tiny()._small(real)
    assert torch.equal(plain, shrunk(real, 2))
    for spoilt in ({"blur": 4.0}, {"noise": 0.1}, {"quality": 20}):
        torch.manual_seed(0)
        small = tiny(**spoilt)._small(real)
        assert (small - plain).abs().mean() > 2 / 255
        torch.testing.assert_close(small * 255, (small * 255).round())
        assert (small >= 0).all()
        assert (small <= 1).all()


def test_half_precision_spoils_neither_the_small_image_nor_the_measures() -> None:
    model, real = tiny(blur=1.0, noise=0.05, quality=30).eval(), torch.rand(4, *COLOUR)
    smalls = []
    for half in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half), torch.no_grad():
            smalls.append(model._small(real))
            terms = model.validate({"image": real})
        assert all(term.dtype == torch.float32 for term in terms.values())
    assert torch.equal(*smalls)


@pytest.mark.parametrize(
    ("shape", "settings", "sentence"),
    [
        (
            Shape(3, 24, 24),
            {"crop": 96},
            "the images are 24 x 24, smaller than the crop of 96; set a smaller model.crop.",
        ),
        (Shape(3, 12, 40), {"scale": 8}, "12 x 40 pixels are too few"),
        (Shape(3, 24, 24), {"crop": 3}, "3 x 3 pixels are too few"),
        (Shape(1, 1, 2), {}, "only images can be enlarged"),
        (Shape(3, 24, 24), {"quality": 0}, "quality must be between 1 and 100"),
    ],
)
def test_what_cannot_be_learnt_gets_a_sentence(shape: Shape, settings: dict[str, int], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tiny(shape, **settings)
    assert sentence in str(caught.value)


# Who teaches when.


def test_pixels_teach_alone_until_the_critic_comes() -> None:
    model = tiny(pixel_steps=5)
    for step in (0, 4):
        assert [(turn.player, turn.loss) for turn in model.turns(step)] == [("generator", model.pixel_loss)]
    for step in (5, 6, 10**9):
        turns = [("generator", model.perceptual_loss), ("critic", model.critic_loss)]
        assert [(turn.player, turn.loss) for turn in model.turns(step)] == turns
    alone = tiny(pixel_steps=None)
    assert set(alone.players()) == {"generator"}
    assert [turn.loss for turn in alone.turns(10**9)] == [alone.pixel_loss]


def test_the_generator_pays_for_content_pixels_and_the_critics_verdict() -> None:
    model = tiny(pixel_steps=0, pixels=0.25, adversarial=0.5)
    assert model.features
    model.features.factor = 3.0
    real = torch.rand(4, *COLOUR)
    terms = model.perceptual_loss({"image": real})
    made = model.generator(shrunk(real, 2))
    squared = (made - real).square().mean()
    assert model.critic
    verdict = functional.binary_cross_entropy_with_logits(model.critic(made), torch.ones(4))
    assert set(terms) == {"loss", "content_pixels", "adversarial", "pixels"}
    torch.testing.assert_close(terms["content_pixels"], squared)
    torch.testing.assert_close(terms["adversarial"], verdict)
    torch.testing.assert_close(terms["loss"], 3.0 * squared + 0.5 * verdict + 0.25 * squared)


def test_the_critic_judges_what_was_enlarged_in_the_same_step() -> None:
    model = tiny(pixel_steps=0, crop=16)
    batch = {"image": torch.rand(4, *COLOUR)}
    model.perceptual_loss(batch)
    real, made = batch["real"], batch["made"]
    assert not made.requires_grad
    assert model.critic
    labels = torch.cat([torch.ones(4), torch.zeros(4)])
    scores = torch.cat([model.critic(real), model.critic(made)])
    expected = 2 * functional.binary_cross_entropy_with_logits(scores, labels)
    torch.testing.assert_close(model.critic_loss(batch)["loss"], expected)


def test_validation_says_how_much_better_than_the_filter_it_is() -> None:
    model = tiny().eval()
    real = torch.rand(3, *COLOUR)
    with torch.no_grad():
        terms = model.validate({"image": real})
        small = shrunk(real, 2)
        made, filtered = model.upscale(small), enlarged(small, 2)

    def decibels(images: Tensor) -> float:
        errors = (luma(images) - luma(real)).square().mean((1, 2, 3))
        return sum(-10 * math.log10(error) for error in errors.tolist()) / 3

    assert terms["psnr_y"].item() == pytest.approx(decibels(made), abs=1e-3)
    assert terms["psnr_y_over_bicubic"].item() == pytest.approx(decibels(made) - decibels(filtered), abs=1e-3)


# A run.


def test_a_run_switches_from_pixels_to_the_critic_at_its_step(tmp_path: Path) -> None:
    done = genlab(tmp_path, "train", *GAME, "model.pixel_steps=4", "trainer.steps=8", "trainer.log_every=1", "run=mine")
    assert done.returncode == 0, done.stderr
    lines = [line for line in read(tmp_path / "mine") if line["split"] == "train"]
    assert [line["step"] for line in lines if "critic/loss" in line] == [5, 6, 7, 8]
    assert [line["step"] for line in lines if "generator/content_pixels" in line] == [5, 6, 7, 8]
    assert run.Run(tmp_path / "mine").facts["abilities"] == ["upscale"]
    kept = checkpoint.newest(tmp_path / "mine/checkpoints")
    assert kept
    assert kept.facts["given"]["features"].startswith("pixels ")


def of_other_weights(*, factor: float) -> Features:
    """Pixels again, by name, with something to tell them apart."""
    other = Pixels(factor=factor)
    other.register_buffer("changed", torch.ones(3), persistent=False)
    return other


def test_a_run_does_not_go_on_with_other_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert genlab(tmp_path, "train", *GAME, "model.pixel_steps=1", "run=mine").returncode == 0
    monkeypatch.setitem(FEATURES, "pixels", of_other_weights)
    done = genlab(tmp_path, "resume", "mine", "trainer.steps=4")
    assert_refused(done, "The run was trained with other features: pixels ")


@pytest.mark.parametrize("name", ["lite0", "pixels"])
def test_a_state_knows_nothing_of_the_features(name: str) -> None:
    settings = {"scale": 2, "blocks": 1, "width": 8, "pixel_steps": 0, "critic_width": 4}
    alone, taught = (SRGAN(shape=COLOUR, features=features, **settings) for features in (None, FEATURES[name]()))  # type: ignore[arg-type]
    image = torch.rand(1, *COLOUR)
    assert taught.features
    before = taught.features(image)
    taught.load_state_dict(alone.state_dict())
    alone.load_state_dict(taught.state_dict())
    assert torch.equal(taught.train().features(image), before)


def test_srgan_begins_where_srresnet_has_come_to(tmp_path: Path) -> None:
    taught = genlab(tmp_path, "train", "model=srresnet", *SMALL, "trainer.steps=3", "run=first")
    assert taught.returncode == 0, taught.stderr
    done = genlab(tmp_path, "train", *GAME, "model.pixel_steps=0", "start=first", "trainer.steps=1", "run=second")
    assert done.returncode == 0, done.stderr
    begun = checkpoint.load(checkpoint.steps(tmp_path / "second/checkpoints")[0])
    theirs = open_run.open_model(run.Run(tmp_path / "first")).state_dict()
    for name, value in theirs.items():
        assert torch.equal(begun.tensors[f"model/{name}"], value), name
        assert torch.equal(begun.tensors[f"average/{name.removeprefix('generator.')}"], value), name
    said = f"It begins with {len(theirs)} of its {len(begun.part('model'))} tensors as first has them."
    assert said in done.stdout
    assert said in (tmp_path / "second/log.txt").read_text()
    assert run.Run(tmp_path / "second").facts["start"] == "first"


def test_latest_is_the_run_that_was_latest_before_this_one_also_in_a_sweep(tmp_path: Path) -> None:
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


def test_weights_that_mean_something_else_are_taken_with_a_word(tmp_path: Path) -> None:
    assert genlab(tmp_path, "train", "model=srresnet", *SMALL, "run=first").returncode == 0
    done = genlab(tmp_path, "train", "model=srresnet", *SMALL, "model.base=bicubic", "start=first", "run=second")
    assert done.returncode == 0, done.stderr
    assert "The two differ in base (none there, bicubic here)." in done.stdout


def test_a_beginning_that_was_killed_begins_with_the_same_weights_again(tmp_path: Path) -> None:
    asked = ["train", *GAME, "model.pixel_steps=0", "start=first", "trainer.steps=1", "run=second"]
    assert genlab(tmp_path, "train", "model=srresnet", *SMALL, "run=first").returncode == 0
    assert genlab(tmp_path, *asked).returncode == 0
    before = checkpoint.load(checkpoint.steps(tmp_path / "second/checkpoints")[0])
    # As a process leaves it that is killed after it has made its folder.
    shutil.rmtree(tmp_path / "second/checkpoints")
    (tmp_path / "second/metrics.jsonl").unlink()
    run.Run(tmp_path / "second").record(state="running", step=0)
    assert genlab(tmp_path, *asked).returncode == 0
    again = checkpoint.load(checkpoint.steps(tmp_path / "second/checkpoints")[0])
    assert [name for name, value in before.tensors.items() if not torch.equal(value, again.tensors[name])] == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["model=srresnet", "model.features=pixels"], "This model takes no features; "),
        (["model=srgan", "model.features=pixels", "model.features.factor=-1"], "factor must be at least 0, and -1"),
        (["model=srgan", "model.features=pixel"], "No features is called 'pixel'. Did you mean 'pixels'?"),
        (["model=srgan", "model.features=pixels", "model.crop=-5"], "crop must be at least 1, and -5 is not."),
    ],
)
def test_a_mistake_in_the_settings_gets_a_sentence(tmp_path: Path, settings: list[str], sentence: str) -> None:
    assert_refused(genlab(tmp_path, "train", *settings, *SMALL), sentence)
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_cannot_be_gets_a_sentence(tmp_path: Path) -> None:
    assert_refused(genlab(tmp_path, "train", *GAME, "start=nowhere"), "There is no run 'nowhere'.")
    assert (
        genlab(
            tmp_path, "train", "model=ae", "model.network.hidden=[8]", "data=digits", "trainer=smoke", "run=ae"
        ).returncode
        == 0
    )
    assert_refused(genlab(tmp_path, "train", *GAME, "start=ae", "run=new"), "no weight of the same name and size")
    assert not (tmp_path / "new").exists()
