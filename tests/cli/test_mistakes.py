"""A mistake gets a sentence and exit code 2, and nothing half-made is left behind."""

import shlex
import shutil
from pathlib import Path

import pytest

from genlab.training import checkpoint
from tests.fixtures.program import TINY, assert_refused, genlab, genlab_apart


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["model=vaee"], "Unknown model 'vaee'. Did you mean 'vae'? Available: aae, acgan, ae, "),
        (["model.latentdim=3"], "Did you mean 'latent_dim'?"),
        (["model.latent_dim=ten"], "model 'vae': latent_dim must be an integer, got 'ten'."),
        (["+trainer.foo=1"], "trainer has no setting 'foo'."),
        (["data.validation=-1"], "data 'fashion-mini': validation must be between 1 and 9999, got -1."),
        (["trainer.steps=3", "trainer.epochs=2"], "epochs"),
        (["trainer.batch_size=20000"], "20000"),
        (["device=cuda:7"], "cuda:7"),
        (["model.optimizers.discriminator.lr=1"], "discriminator"),
        (["data=fashion-mnist", "data.root=nowhere"], "There is no folder nowhere."),
        (["run=/proc/mine", "trainer=smoke"], "The run's folder cannot be created: "),
        (["--plugin", "absent.py"], "absent.py"),
        (["nonsense"], "nonsense"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_2_and_nothing_is_left(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    assert_refused(genlab(tmp_path, "train", *arguments), sentence)
    assert list(tmp_path.iterdir()) == []


def checkpoints(place: Path) -> list[Path]:
    return sorted((place / "outputs/mine/checkpoints").glob("*.safetensors"))


def test_a_run_that_does_not_exist_gets_a_suggestion_and_the_newest_runs(place: Path) -> None:
    done = genlab(place, "resume", "vae-digitz")
    assert_refused(done, "There is no run 'vae-digitz'. Did you mean 'vae-digits'? The newest runs: outputs/mine")


def test_a_run_is_found_by_its_folder_its_name_and_as_the_latest(place: Path) -> None:
    for name in ("outputs/mine", "mine", "latest", "vae-digits"):
        done = genlab(place, "resume", name)
        assert done.returncode == 0, done.stderr
        assert "outputs/mine is finished: step 2." in done.stdout


@pytest.mark.parametrize("key", ["seed", "model.beta"])
def test_only_the_length_of_a_run_and_its_device_can_change(place: Path, key: str) -> None:
    done = genlab(place, "resume", "latest", f"{key}=3")
    assert_refused(
        done,
        f"Cannot change {key} when resuming; only trainer.epochs, trainer.steps, trainer.patience, "
        "trainer.rollback, device and devices can change.",
    )


def test_the_refusal_of_another_learning_rate_has_the_command_that_uses_it(place: Path) -> None:
    refused = genlab(place, "resume", "latest", "model.optimizers.model.lr=0.01")
    command = refused.stderr.strip().rpartition("from the weights of this one: ")[2]
    assert command == (
        "genlab train data=digits trainer=smoke 'model.network.hidden=[8]' trainer.batch_size=16 start=outputs/mine "
        "model.optimizers.model.lr=0.01"
    )
    done = genlab(place, *shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr
    assert "from outputs/mine" in done.stdout


def test_fewer_steps_than_were_taken_are_refused(place: Path) -> None:
    done = genlab(place, "resume", "latest", "trainer.steps=1")
    assert_refused(done, "which is past the requested total of 1. Set a larger trainer.steps")


def test_a_budget_without_its_group_gets_a_suggestion(place: Path) -> None:
    assert_refused(genlab(place, "resume", "latest", "steps=4"), "Did you mean trainer.steps=4?")


@pytest.mark.parametrize(
    ("swept", "sentence"),
    [
        ("data=digits model=ae,vaee", "Unknown model 'vaee'."),
        ("data=digits trainer.steps=2,two", "trainer: steps must be an integer or null, got 'two'."),
        ("data=digits model.latent_dim=2,0", "model 'vae': latent_dim must be at least 1, got 0."),
        ("data=digits,gaussian model/network=conv", "network 'conv' takes images, and data 'gaussian' holds points"),
    ],
)
def test_a_sweep_is_refused_before_its_first_job_if_any_of_its_jobs_would_be(
    tmp_path: Path, swept: str, sentence: str
) -> None:
    done = genlab(tmp_path, "train", "-m", "trainer=smoke", *swept.split(), "run=sweep")
    assert_refused(done, sentence)
    assert "Error executing job" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(place: Path) -> None:
    newest = checkpoints(place)[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=newest.name):
        done = genlab(place, "resume", "latest", "trainer.steps=3")
    assert done.returncode == 0, done.stderr
    assert checkpoint.newest(place / "outputs/mine/checkpoints").step == 3  # type: ignore[union-attr]


def test_a_run_whose_checkpoints_are_all_damaged_is_refused(place: Path) -> None:
    for path in checkpoints(place):
        path.write_bytes(b"not a checkpoint")
    with pytest.warns(UserWarning, match="damaged"):
        done = genlab(place, "resume", "latest", "trainer.steps=3")
    assert_refused(done, "No checkpoint in outputs/mine/checkpoints can be read.")


def test_a_checkpoint_of_another_model_is_refused(place: Path) -> None:
    other = [argument.replace("[8]", "[9]") for argument in TINY]
    assert genlab(place, "train", "run=outputs/other", *other).returncode == 0
    shutil.rmtree(place / "outputs/mine/checkpoints")
    shutil.copytree(place / "outputs/other/checkpoints", place / "outputs/mine/checkpoints")
    done = genlab(place, "resume", "outputs/mine", "trainer.steps=3")
    assert_refused(done, "is of another model")


def test_a_run_whose_json_is_damaged_is_no_run(place: Path) -> None:
    (place / "outputs/mine/run.json").write_text("{")
    assert_refused(genlab(place, "resume", "outputs/mine"), "outputs/mine is not a run: its run.json cannot be read")


def test_other_data_than_a_run_was_begun_with_is_refused(place: Path) -> None:
    path = place / "outputs/mine/config.yaml"
    path.write_text(path.read_text().replace("validation: 180", "validation: 170"))
    done = genlab(place, "resume", "latest", "trainer.steps=3")
    assert_refused(done, "The data of outputs/mine has changed since the run began")


def test_a_folder_with_other_files_is_not_trained_in(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/thesis.txt").write_text("years")
    done = genlab(tmp_path, "train", "run=precious", *TINY)
    assert_refused(done, "precious is not a run, and it is not empty; choose another folder.")
    assert (tmp_path / "precious/thesis.txt").read_text() == "years"


def test_a_full_disk_stops_the_run_and_harms_no_checkpoint(tmp_path: Path) -> None:
    long = [*TINY, "trainer.steps=500", "trainer.checkpoint_every=50", "trainer.validate_every=200", "run=mine"]
    done = genlab_apart(tmp_path, "train", *long, largest_file=30_000)
    assert_refused(done, "The checkpoints so far are intact. Continue with: genlab resume mine")
    found = checkpoint.newest(tmp_path / "mine/checkpoints")
    assert found
    assert 0 < found.step < 500
    again = genlab(tmp_path, "resume", "mine")
    assert again.returncode == 0, again.stderr
    whole = genlab(tmp_path, "train", *long[:-1], "run=whole")
    assert whole.returncode == 0
    names = [sorted(path.name for path in (tmp_path / run / "checkpoints").iterdir()) for run in ("mine", "whole")]
    assert names[0][-1] == names[1][-1]


def test_a_disk_that_is_full_from_the_start_leaves_no_run(tmp_path: Path) -> None:
    done = genlab_apart(tmp_path, "train", *TINY, "run=mine", largest_file=1000)
    assert_refused(done, "cannot be written")
    assert not (tmp_path / "mine").exists()
