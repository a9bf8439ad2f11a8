"""`trainer.evaluate=quick`: more metrics of validation data, within a share of the time, with the same training."""

import itertools
import json
from pathlib import Path

import pytest

from genlab.contract import Model
from genlab.extractors import classifier
from genlab.training import checkpoint
from genlab.training.validation import SHARE, Quick
from tests.fixtures.program import TINY, assert_refused, genlab
from tests.fixtures.tiny import tiny_vae

QUICK = "trainer.evaluate=quick"
STEPS = ["trainer.steps=6", "trainer.validate_every=2"]


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the classifier for a few steps only; its quality is not tested here."""
    monkeypatch.setattr(classifier, "LEAST_STEPS", 30)
    monkeypatch.setattr(classifier, "EPOCHS", 3)


class Clock:
    """A clock that moves only while metrics are measured."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def looks(cost: float, step: float, steps: int, first: float | None = None) -> tuple[list[bool], Quick, Clock]:
    """Return the validations with metrics, one validation every `step` seconds; the first may cost more."""
    clock = Clock()
    costs = itertools.chain([cost if first is None else first], itertools.repeat(cost))

    def measure(_: Model) -> dict[str, float]:
        clock.now += next(costs)
        return {"FD": 1.0}

    quick = Quick(measure, lambda name: False, clock)
    quick.prepare(tiny_vae())
    taken = []
    for number in range(steps):
        clock.now += step
        taken.append(bool(quick.look(tiny_vae(), last=number == steps - 1)))
    return taken, quick, clock


def test_quick_metrics_take_at_most_their_share_of_the_time() -> None:
    taken, quick, clock = looks(cost=1.0, step=3.0, steps=200)
    assert taken[0]
    assert taken[-1], "the last validation always has quick metrics"
    assert quick.spent - 1 <= SHARE * clock.now
    # They also take no less than they may.
    assert quick.spent + 1 > SHARE * (clock.now - 3)
    assert (quick.taken, quick.left_out) == (sum(taken), 200 - sum(taken))
    assert f"FD: measured at {sum(taken)} of 200 validations" in quick.summary()


def test_the_cost_of_loading_skips_no_later_measurement() -> None:
    assert looks(cost=0.1, step=3.0, steps=100, first=60.0)[0] == [True] * 100


def test_cheap_metrics_are_measured_at_every_validation() -> None:
    assert all(looks(cost=0.01, step=3.0, steps=50)[0])


def lines(run: Path, split: str) -> list[dict[str, float]]:
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["split"] == split]


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_validations_have_the_metrics_and_the_weights_do_not_change(model: str, tmp_path: Path) -> None:
    for run, extra in (("plain", []), ("quick", [QUICK])):
        network = [] if model == "vae" else ["model/network=mlp-small"]
        done = genlab(tmp_path, "train", f"model={model}", *network, *TINY, *STEPS, f"run={run}", *extra)
        assert done.returncode == 0, done.stderr
    first = lines(tmp_path / "quick", "validation")[0]
    assert {"FD-classifier", "KID-classifier", "precision-classifier", "recall-classifier"} <= set(first)
    assert not any("FD-classifier" in line for line in lines(tmp_path / "quick", "train"))
    assert not any("FD-classifier" in line for line in lines(tmp_path / "quick", "test"))
    both = [checkpoint.newest(tmp_path / run / "checkpoints") for run in ("plain", "quick")]
    assert both[0]
    assert both[1]
    assert all(both[1].tensors[name].equal(value) for name, value in both[0].tensors.items())
    assert "at most 5% of the time" in (tmp_path / "quick" / "log.txt").read_text()


def test_the_best_checkpoint_can_be_chosen_by_a_quick_metric_in_its_better_direction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genlab.training.validation.SHARE", 1e9)
    for run, metric, choose in (("low", "FD-classifier", min), ("high", "PSNR", max)):
        given = ["model=vae", *TINY, *STEPS, QUICK, f"run={run}", f"model.best={metric}"]
        # With this learning rate, later steps undo what earlier ones learned.
        done = genlab(tmp_path, "train", *given, "model.optimizers.model.lr=0.05")
        assert done.returncode == 0, done.stderr
        validations = lines(tmp_path / run, "validation")
        best = json.loads((tmp_path / run / "run.json").read_text())["best"]
        assert best["metric"] == metric
        assert best["value"] == choose(line[metric] for line in validations)
        assert best["step"] in checkpoint.steps(tmp_path / run / "checkpoints")


def test_a_best_metric_that_is_not_measured_is_refused(tmp_path: Path) -> None:
    done = genlab(tmp_path, "train", "model=vae", *TINY, "model.best=FD-classifier")
    assert_refused(done, "got 'FD-classifier'. trainer.evaluate=quick measures others.")
    # Images of 8 x 8 have no SSIM, and a single image has no distance.
    done = genlab(tmp_path, "train", "model=ae", *TINY, QUICK, "model.best=SSIM")
    assert_refused(done, "(loss, active_share, PSNR), got 'SSIM'.")
    done = genlab(tmp_path, "train", "model=vae", *TINY, QUICK, "data.validation=1", "model.best=FD-classifier")
    assert_refused(done, "got 'FD-classifier'.")
    done = genlab(tmp_path, "train", "model=vae", *TINY, QUICK, "model.best=FD-clasifier")
    assert_refused(done, "FD-classifier")


def test_a_model_that_neither_samples_nor_reconstructs_is_refused(tmp_path: Path) -> None:
    given = ["model=srresnet", "data=photos-mini", "trainer=smoke", "model.blocks=1", "model.width=4", QUICK]
    assert_refused(genlab(tmp_path, "train", *given), "trainer.evaluate=quick measures models that sample")
