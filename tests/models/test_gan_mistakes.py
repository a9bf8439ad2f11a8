"""What cannot be a game, or not on this data, is said in a sentence before anything is written."""

from pathlib import Path

import pytest
from PIL import Image

from tests.fixtures.program import assert_refused, genlab


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["model=dcgan", "data=shapes", "data.size=30"], "until they are 4 or 7 pixels a side, and 30x30 cannot be;"),
        (["model=dcgan", "data=gaussian"], "and 1x1 cannot be;"),
        (["model=dcgan", "model.critic_turns=0"], "critic_turns must be at least 1, and 0 is not."),
        (["model=dcgan", "model.r1_every=0"], "r1_every must be at least 1, and 0 is not."),
        (["model=wgan", "model.clip=0"], "clip must be above 0, and 0.0 is not; null clips nothing."),
        (["model=wgan", "model.clip=-1"], "clip must be above 0, and -1.0 is not; null clips nothing."),
        (["model=wgan-gp", "model.penalty=-1"], "penalty must be at least 0, and -1.0 is not."),
        (["model=gan", "model.loss=wassertein"], "and 'wassertein' is not. Did you mean 'wasserstein'?"),
        (
            ["model=gan", "model.augment=[colour]"],
            "a list of any of color, translation, cutout, and ['colour'] is not.",
        ),
        (["model=gan", "data=gaussian", "model.augment=[cutout]"], "augment changes images, and these are points;"),
        (["model=gan", "model.label_smoothing=1"], "label_smoothing must be below 1, and 1.0 is not."),
        (["model=gan", "model.label_smoothing=0.1", "model.loss=hinge"], "label_smoothing goes with non-saturating, "),
        (["model=dcgan", "model.penalty=10"], "set model.critic_normalization=layer or none."),
        (["model=dcgan", "model.r1=1"], "set model.critic_normalization=layer or none."),
        (["model=gan", "model.best=fid"], "(loss, real_accuracy, fake_accuracy, diversity), and 'fid' is not."),
        (["model=gan", "model.players.critik.rate=1"], "no player 'critik'. Did you mean 'critic'?"),
        (["model=gan", "model.average=1"], "model: average must be at least 0 and below 1, and 1.0 is not."),
        (
            ["model=wgan", "model.spectral_norm=true"],
            "clip and spectral_norm both bound the critic; set model.clip=null",
        ),
        (["model=gan", "trainer.average=1"], "average must be at least 0 and below 1, and 1.0 is not."),
    ],
)
def test_what_cannot_be_played_is_a_sentence_and_nothing_is_left(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    data = [] if any(argument.startswith("data=") for argument in arguments) else ["data=shapes", "data.size=28"]
    few = [] if "data=gaussian" in arguments else ["data.count=100", "data.validation=10", "data.test=10"]
    done = genlab(tmp_path, "train", "trainer=smoke", *data, *few, *arguments)
    assert_refused(done, sentence)
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_game_of_classes_asks_for_data_with_labels_and_says_where_they_come_from(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (16, 16), 20 * number).save(tmp_path / "mine" / name / f"{number}.png")
    wanted = [
        "train",
        "model=cgan",
        "trainer=smoke",
        "trainer.batch_size=8",
        "data=folder",
        "data.path=mine",
        "run=cgan",
    ]
    wanted += ["data.size=16", "model.network.width=4", "model.network.most=8"]
    done = genlab(tmp_path, *wanted)
    assert_refused(done, "this data has no labels. Take data with labels, such as fashion-mnist")
    assert "data.labels=folder" in done.stderr
    assert not (tmp_path / "cgan").exists()
    # What it says helps.
    assert genlab(tmp_path, *wanted, "data.labels=folder").returncode == 0
