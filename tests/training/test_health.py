"""What a GAN says of its own health, how far apart its samples are, and who hears of it."""

import itertools
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor
from torch.nn import functional

from genlab.contract import Shape
from genlab.models.adversarial import LOSSES
from genlab.models.gan import GAN, diversity
from genlab.models.health import COLLAPSED, WON, Line, collapsed, won
from genlab.networks import Network
from genlab.networks.convolutional import Conv
from genlab.networks.mlp import Mlp
from genlab.training import checkpoint
from genlab.training.journal import Journal
from tests.fixtures.program import genlab
from tests.fixtures.tiny import TINY, batch

# Diversity.


def mean_distance(images: Tensor) -> float:
    """Between every two of them, one pair after the other."""
    pairs = list(itertools.combinations(images.flatten(1).double(), 2))
    return sum(float((first - second).norm()) for first, second in pairs) / len(pairs)


def test_diversity_is_the_mean_distance_of_samples_over_that_of_real_images() -> None:
    samples, real = torch.rand(9, 2, 3, 4), 2 * torch.rand(9, 2, 3, 4)
    assert float(diversity(samples, real)) == pytest.approx(mean_distance(samples) / mean_distance(real), rel=1e-5)


def test_diversity_is_1_for_the_same_images_and_nothing_for_one_image_again_and_again() -> None:
    images = torch.rand(30, 1, 8, 8)
    assert float(diversity(images.flip(0), images)) == pytest.approx(1, rel=1e-5)
    assert float(diversity(images[:1].expand(30, -1, -1, -1), images)) == pytest.approx(0, abs=1e-3)


def test_with_labels_diversity_is_between_images_of_one_class() -> None:
    labels = torch.arange(12) % 3
    real, noise = torch.rand(12, 1, 4, 4), torch.rand(12, 1, 4, 4)
    # A generator that makes one image a class, whatever the noise.
    one_each = noise[labels]
    assert float(diversity(one_each, real)) > 0.5
    assert float(diversity(one_each, real, labels)) == pytest.approx(0, abs=1e-3)
    within = [
        sum(float((a - b).norm()) for k in range(3) for a, b in itertools.combinations(these[labels == k].double(), 2))
        for these in (noise, real)
    ]
    assert float(diversity(noise, real, labels)) == pytest.approx(within[0] / within[1], rel=1e-5)
    # Where no class is there twice, all pairs count.
    assert float(diversity(noise, real, torch.arange(12))) == pytest.approx(float(diversity(noise, real)), rel=1e-5)


def test_diversity_of_equal_real_images_is_finite_and_of_a_single_one_there_is_none() -> None:
    one = torch.rand(1, 1, 8, 8)
    assert diversity(torch.rand(3, 1, 8, 8), one.expand(3, -1, -1, -1)).isfinite()
    model = GAN(shape=TINY, classes=0, network=Mlp(hidden=[3]), latent_dim=2).eval()
    assert "diversity" in model.validate(batch(count=2))
    assert "diversity" not in model.validate(batch(count=1))


def test_what_is_validated_is_the_critics_loss_without_what_smooths_it_and_the_diversity() -> None:
    model = GAN(shape=TINY, classes=0, network=Mlp(hidden=[3]), latent_dim=2, penalty=9.0, r1=9.0, instance_noise=0.5)
    images = batch()["image"]
    torch.manual_seed(3)
    terms = model.eval().validate({"image": images})
    torch.manual_seed(3)
    samples = model.sample(len(images))
    # The players see images between -1 and 1.
    real, fake = (model.critic(2 * these - 1, None) for these in (images, samples))
    expected = functional.softplus(-real).mean() + functional.softplus(fake).mean()
    torch.testing.assert_close(terms["loss"], expected)
    torch.testing.assert_close(terms["diversity"], diversity(samples, images))
    assert float(terms["real_accuracy"]) == sum(score > 0 for score in real.tolist()) / len(images)


# The diagnosis of a journal.


def validations(figures: list[float], apart: int = 500) -> list[Line]:
    return [{"split": "validation", "step": apart * (at + 1), "diversity": figure} for at, figure in enumerate(figures)]


def moves(real: list[float], fake: list[float], apart: int = 500) -> list[Line]:
    accuracies = enumerate(zip(real, fake, strict=True))
    names = "critic/real_accuracy", "critic/fake_accuracy"
    return [
        {"split": "train", "step": apart * (at + 1), **dict(zip(names, both, strict=True))} for at, both in accuracies
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (validations([0.1, 0.1, 0.1]), "collapsed"),
        (validations([1.0, 0.1, 0.0, 0.1]), "collapsed"),
        (validations([0.11, 0.12, 0.14, 0.16, 0.17]), None),  # slow, and on its way
        (validations([0.1, 0.1], apart=2000), None),  # too few
        (validations([0.1] * 9, apart=100), None),  # too short a time
        (validations([0.1] * 11, apart=100), "collapsed"),
        (validations([0.1, 0.1, 0.1, 0.1, 0.3]), None),  # recovered
        (validations([0.1, 0.1, 0.3, 0.1, 0.1]), None),  # not for long
        (validations([0.2] * 5), None),  # on the edge
        ([{**line, "split": "test"} for line in validations([0.1] * 5)], None),
        ([{"split": "validation", "step": 500 * at, "loss": 1.0} for at in range(5)], None),
        ([{**line, "diversity": None} for line in validations([0.1] * 5)], None),  # a NaN
        (moves([1.0] * 3, [0.995] * 3), "won"),
        (moves([1.0] * 5, [0.9] * 5), None),  # it knows real images alone
        (moves([0.9] * 5, [1.0] * 5), None),
        (moves([1.0] * 5, [1.0] * 4 + [0.98]), None),
        (moves([1.0] * 9, [1.0] * 9, apart=100), None),
        (moves([1.0] * 5, [1.0] * 5) + validations([0.1] * 5), "collapsed"),  # the worse of the two
        (moves([1.0] * 5, [1.0] * 5) + validations([1.0] * 5), "won"),
        ([], None),
    ],
)
def test_a_game_is_ill_where_its_newest_lines_were_bad_for_a_thousand_steps(
    lines: list[Line], said: str | None
) -> None:
    model = GAN(shape=TINY, classes=0, network=Mlp(hidden=[]), latent_dim=1)
    found = model.diagnose(lines)
    assert (found is None) == (said is None)
    assert said is None or str(found).startswith({"collapsed": COLLAPSED, "won": WON}[said])


def test_lines_of_the_other_split_between_do_not_hide_it() -> None:
    lines = [line for pair in zip(validations([0.1] * 3), moves([0.5] * 3, [0.5] * 3), strict=True) for line in pair]
    assert collapsed(lines)
    assert not won(lines)


def test_a_journal_with_a_line_for_every_step_still_holds_what_was_validated_long_ago(tmp_path: Path) -> None:
    lines = moves([0.5] * 3000, [0.5] * 3000, apart=1)
    for at, line in enumerate(validations([0.1] * 3, apart=1000)):
        lines.insert(1000 * (at + 1) + at, {**line})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    journal = Journal(tmp_path, 3000, {}, {})
    journal.close()
    assert collapsed(journal.recent)


@pytest.mark.parametrize("name", LOSSES)
def test_a_critic_of_distances_never_wins_and_any_other_can(name: str) -> None:
    model = GAN(shape=TINY, classes=0, network=Mlp(hidden=[]), latent_dim=1, loss=name)  # type: ignore[arg-type]
    assert (model.diagnose(moves([1.0] * 5, [1.0] * 5)) is None) == (name == "wasserstein")
    assert str(model.diagnose(validations([0.1] * 5))).startswith(COLLAPSED)


BAD = {"collapsed": validations([0.1] * 5), "won": moves([1.0] * 5, [1.0] * 5)}


@pytest.mark.parametrize("state", BAD)
@pytest.mark.parametrize("shape", [TINY, Shape(1, 1, 2), Shape(3, 16, 16)])
@pytest.mark.parametrize("network", [Mlp(hidden=[3]), Conv(width=4)])
def test_what_it_says_to_try_is_a_game_that_can_be_played(state: str, shape: Shape, network: Network) -> None:
    settings = {"shape": shape, "classes": 0, "network": network, "latent_dim": 2}
    advice = str(GAN(**settings).diagnose(BAD[state])).partition(" Try ")[2]
    tried = 0
    for option in advice.split(" or "):
        changes = dict(re.findall(r"model\.(\w+)=([\w.\[\]]*\w\]?)", option))
        if changes:
            GAN(**{**settings, **{name: yaml.safe_load(value) for name, value in changes.items()}})
            tried += 1
    assert tried


def test_it_does_not_say_to_try_what_it_has() -> None:
    smooth = GAN(shape=TINY, classes=0, network=Mlp(hidden=[]), latent_dim=1, r1=1.0, instance_noise=0.1)
    assert "model.r1" not in str(smooth.diagnose(BAD["collapsed"]))
    assert "model.instance_noise" not in str(smooth.diagnose(BAD["won"]))


# Games that are played.

SMALL = [
    "train",
    "model=gan",
    "data=digits",
    "model.network.hidden=[8]",
    "trainer.epochs=null",
    "trainer.batch_size=16",
]
LOOKS = ["trainer.validate_every=200", "trainer.log_every=200", "trainer.checkpoint_every=100000", "device=cpu"]
SMALL += ["model.r1=0", "trainer.average=0", *LOOKS]
# A critic that stands still has one image that it likes best, and a generator in a hurry finds it.
COLLAPSING = [*SMALL, "model.players.critic.rate=0", "model.players.generator.rate=0.05"]


def warnings_of(folder: Path) -> dict[str, int]:
    kept: dict[str, int] = json.loads((folder / "run.json").read_text())["warnings"]
    found = checkpoint.newest(folder / "checkpoints")
    assert found
    assert found.facts["position"]["warnings"] == kept
    return kept


def test_a_collapsed_game_says_so_once_and_keeps_it_however_often_it_is_stopped(tmp_path: Path) -> None:
    parts = [genlab(tmp_path, *COLLAPSING, "trainer.steps=700", "run=mine")]
    assert warnings_of(tmp_path / "mine") == {}
    parts.append(genlab(tmp_path, "resume", "mine", "trainer.steps=1200"))
    ((sentence, step),) = warnings_of(tmp_path / "mine").items()
    assert sentence.startswith(COLLAPSED)
    assert step == 1200
    parts.append(genlab(tmp_path, "resume", "mine", "trainer.steps=1210"))
    assert warnings_of(tmp_path / "mine") == {sentence: 1200}
    assert [part.returncode for part in parts] == [0, 0, 0]
    assert [part.stdout.count(f"step 1,200: {sentence}\n") for part in parts] == [0, 1, 0]
    assert (tmp_path / "mine" / "log.txt").read_text().count(COLLAPSED) == 1


def test_a_game_that_goes_well_is_not_warned_of(tmp_path: Path) -> None:
    done = genlab(tmp_path, *SMALL, "trainer.steps=1200", "run=mine")
    assert done.returncode == 0, done.stderr
    assert warnings_of(tmp_path / "mine") == {}
    assert COLLAPSED not in done.stdout
    assert WON not in done.stdout
