"""Settings of a GAN that contradict each other or do not fit the data are refused before anything is written."""

from pathlib import Path

import pytest
from PIL import Image

from tests.fixtures.program import assert_refused, genlab

_NO_LABELS = (
    "model 'cgan' needs labels, and data 'folder' has none. Choose data with labels, such as data=fashion-mini; for a "
    "folder of your own, set data.labels=folder. Or set model.condition=none."
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=dcgan", "data=shapes", "data.size=30"], "is 4 or 7 pixels, which is not possible with 30x30. Choose"),
        (["model=dcgan", "data=gaussian"], "network 'dcgan' takes images, and data 'gaussian' holds points (1 number"),
        (["model=dcgan", "model.discriminator_turns=0"], "discriminator_turns must be at least 1, got 0."),
        (["model=dcgan", "model.r1_every=0"], "r1_every must be at least 1, got 0."),
        (["model=wgan", "model.clip=0"], "clip must be above 0, got 0.0; set model.clip=null for no clipping."),
        (["model=wgan", "model.clip=-1"], "clip must be above 0, got -1.0; set model.clip=null for no clipping."),
        (["model=wgan-gp", "model.penalty=-1"], "penalty must be at least 0, got -1.0."),
        (["model=gan", "model.loss=wassertein"], "got 'wassertein'. Did you mean 'wasserstein'?"),
        (["model=gan", "model.augment=[colour]"], "a list of any of color, translation, cutout, got ['colour']."),
        (["model=gan", "data=gaussian", "model.augment=[cutout]"], "augment changes images, got points;"),
        (["model=gan", "model.label_smoothing=1"], "label_smoothing must be below 1, got 1.0."),
        (
            ["model=gan", "model.label_smoothing=0.1", "model.loss=hinge"],
            "label_smoothing works with the losses non-saturating, saturating, least-squares, got hinge;",
        ),
        (["model=dcgan", "model.penalty=10"], "set model.discriminator_normalization=layer or none."),
        (["model=dcgan", "model.r1=1"], "set model.discriminator_normalization=layer or none."),
        (["model=acgan", "model.class_weight=-1"], "class_weight must be at least 0, got -1.0."),
        (["model=sagan", "model.network.attention=3"], "attention=3 is below the sides of all feature maps (14, 7)."),
        (["model=dcgan", "model.network.dropout=1"], "dropout must be below 1, got 1.0."),
        (["model=dcgan", "model.network.upsampling=bilinear"], "one of transposed, nearest, got 'bilinear'."),
        (["model=gan", "model.best=fid"], "(loss, real_accuracy, generated_accuracy, diversity), got 'fid'."),
        (["model=wgan-gp", "model.best=fid"], "(loss, distance, diversity), got 'fid'."),
        (["model=gan", "model.optimizers.discrimnator.lr=1"], "Did you mean model.optimizers.discriminator.lr=1"),
        (["model=gan", "model.optimizers.generator.ema=1"], "ema must be at least 0 and below 1, got 1.0"),
        (
            ["model=wgan", "model.spectral_norm=true"],
            "clip and spectral_norm both bound the discriminator; set model.clip=null",
        ),
    ],
)
def test_settings_that_cannot_be_played_are_refused_and_leave_nothing_behind(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    data = [] if any(argument.startswith("data=") for argument in arguments) else ["data=shapes", "data.size=28"]
    few = [] if "data=gaussian" in arguments else ["data.count=100", "data.validation=10", "data.test=10"]
    done = genlab(tmp_path, "train", "trainer=smoke", *data, *few, *arguments)
    assert_refused(done, message)
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_auxiliary_classifier_needs_labels(tmp_path: Path) -> None:
    done = genlab(tmp_path, "train", "model=dcgan", "model.condition=auxiliary", "data=photos-mini", "trainer=smoke")
    assert_refused(done, "model 'dcgan' needs labels, and data 'photos-mini' has none.")
    assert "Or set model.condition=none." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_conditional_gan_without_labels_is_refused_with_advice_that_helps(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (16, 16), 20 * number).save(tmp_path / "mine" / name / f"{number}.png")
    small = ["trainer=smoke", "trainer.batch_size=8", "model.network.width=4", "model.network.most=8"]
    arguments = ["train", "model=cgan", "data=folder", "data.path=mine", "data.size=16", "run=cgan", *small]
    assert_refused(genlab(tmp_path, *arguments), _NO_LABELS)
    assert not (tmp_path / "cgan").exists()
    for advice in ("data.labels=folder", "model.condition=none"):
        done = genlab(tmp_path, *arguments, advice, f"run={advice.partition('.')[0]}")
        assert done.returncode == 0, done.stderr
