"""`genlab search` as a user meets it."""

import errno
import json
import os
import random
import shlex
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genlab.metrics.metric import better
from genlab.registry import ConfigError
from genlab.runs import lifecycle
from genlab.runs.run import Run
from genlab.search.search import Asked, prepared
from genlab.search.study import continued, open_search
from genlab.training.console import Console
from tests.fixtures.program import assert_refused, genlab, genlab_apart, start

# Eight steps and a validation after every second one.
SHORT = ["data=digits", "trainer.batch_size=64", "trainer.steps=8", "trainer.validate_every=2"]
TINY = ["model=ae", "model.fitted_prior=[]", "model.network.hidden=[8]", *SHORT]
LR, SIZE = "model.optimizers.model.lr=tag(log,interval(1e-4,1e-1))", "model.latent_dim=int(interval(2,16))"
SEARCH = ["search", LR, SIZE, *TINY, "trainer.checkpoint_every=3"]


def ended(folder: Path) -> list[tuple[int, str, dict[str, Any], Any, dict[int, float]]]:
    """Return everything that a search has found: of each trial the state, the settings, the values, the validations."""
    search = open_search(folder)
    assert search
    return [
        (trial.number, trial.state.name, trial.params, trial.values, trial.intermediate_values)
        for trial in search.trials
    ]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished search with pruning, `whole`."""
    folder = tmp_path_factory.mktemp("search")
    done = genlab(folder, *SEARCH, "search.trials=6", "search.prune=median", "run=whole")
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout)
    return folder


def test_a_search_ends_with_its_best_setting_and_the_line_that_trains_it_again(searched: Path) -> None:
    printed = (searched / "printed.txt").read_text()
    found = json.loads((searched / "whole/search.json").read_text())["result"]
    complete = [trial for trial in ended(searched / "whole") if trial[1] == "COMPLETE"]
    best = min(complete, key=lambda trial: trial[3][0])
    assert found["best"][0]["settings"] == best[2]
    assert found["best"][0]["values"] == {"loss": best[3][0]}
    assert sum(found["importances"]["loss"].values()) == pytest.approx(1)
    line = found["best"][0]["train"]
    assert f"  {line}\n" in printed
    assert "trial-0003 (4 of 6): model.optimizers.model.lr" in printed
    assert (searched / "whole/search.png").stat().st_size > 10_000
    again = genlab(searched, *shlex.split(line)[1:], "run=again")
    assert again.returncode == 0, again.stderr
    facts = Run(searched / "again").facts
    assert facts["best"]["value"] == best[3][0]
    assert facts["validation"] == Run(Path(searched / f"whole/trial-{best[0]:04}")).facts["validation"]


def test_a_finished_search_prints_its_result_again_and_more_trials_continue_it(
    searched: Path,
) -> None:
    before = (searched / "whole/search.journal").read_bytes()
    again = genlab(searched, *SEARCH, "search.trials=6", "search.prune=median", "run=whole")
    assert again.returncode == 0
    assert "To train the best setting again:" in again.stdout
    assert "validation at step" not in again.stdout
    assert (searched / "whole/search.journal").read_bytes() == before
    shutil.copytree(searched / "whole", searched / "more")
    # As if the process had been killed while it wrote the last result.
    (searched / "more/search.journal").write_bytes(before[:-10])
    assert ended(searched / "more")[5][1] == "RUNNING"
    more = genlab(searched, *SEARCH, "search.trials=7", "search.prune=median", "run=more")
    assert more.returncode == 0, more.stderr
    assert ended(searched / "more")[:6] == ended(searched / "whole")
    assert len(ended(searched / "more")) == 7


def test_pruned_trials_are_runs_in_the_state_pruned_that_resume_trains_to_the_end(searched: Path) -> None:
    pruned = [trial for trial in ended(searched / "whole") if trial[1] == "PRUNED"]
    assert pruned
    number, _, _, _, validations = pruned[0]
    run = Run(searched / f"whole/trial-{number:04}")
    assert run.state == "pruned"
    assert run.facts["step"] == max(validations) < 8
    assert run.facts["validation"]["loss"] == validations[max(validations)]
    assert "pruned" in genlab(searched, "list", "runs", "whole").stdout
    compared = genlab(searched, "compare", "whole", "--out", "comparison")
    assert compared.returncode == 0, compared.stderr
    assert "Not finished (pruned)" in compared.stdout
    assert genlab(searched, "report", str(run.path)).returncode == 0
    assert "A search pruned the run at step" in (run.path / "report.html").read_text(encoding="utf-8")
    resumed = genlab(searched, "resume", str(run.path))
    assert resumed.returncode == 0, resumed.stderr
    assert (run.state, run.facts["step"]) == ("finished", 8)


def kill_when(folder: Path, there: str, *arguments: str) -> None:
    """Start the program, and kill its processes as soon as a file is there."""
    process = start(folder, *arguments)
    limit = time.monotonic() + 120
    while process.poll() is None and not list(folder.glob(there)):
        assert time.monotonic() < limit
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_killed_search_ends_as_one_that_was_never_interrupted(searched: Path, tmp_path: Path) -> None:
    asked = [*SEARCH, "search.trials=6", "search.prune=median", "run=killed"]
    kill_when(tmp_path, "killed/trial-0002/checkpoints/*", *asked)
    states = {trial[1] for trial in ended(tmp_path / "killed")}
    assert "RUNNING" in states
    done = genlab(tmp_path, *asked)
    assert done.returncode == 0, done.stderr
    assert "2 of 6 trials are done; the search continues." in done.stdout
    assert ended(tmp_path / "killed") == ended(searched / "whole")


def test_another_search_in_the_same_folder_is_refused_and_named(searched: Path) -> None:
    asked = ["search.trials=6", "search.prune=median", "run=whole"]
    other = genlab(searched, "search", LR.replace("1e-1", "1e-2"), SIZE, *SEARCH[3:], "seed=4", *asked)
    assert_refused(
        other, "whole holds another search; these differ: model.optimizers.model.lr (tag(log,interval(0.0001,"
    )
    assert "seed (0 there, 4 here)" in other.stderr
    sampled = genlab(searched, *SEARCH, *asked, "search.sampler=random")
    assert_refused(sampled, "search.sampler (tpe there, random here). Only search.trials and the launcher can change.")


def test_a_search_can_continue_with_another_launcher_but_not_on_another_device(searched: Path) -> None:
    known = open_search(searched / "whole")
    assert known
    asked = replace(known.plan, arguments=[*known.plan.arguments, "hydra/launcher=joblib"])
    assert continued(known, asked).plan.arguments == asked.arguments
    with pytest.raises(ConfigError, match=r"device \(auto there, cuda here\)"):
        continued(known, replace(known.plan, base={**known.plan.base, "device": "cuda"}))


VAE = ["model=vae", "model.network.hidden=[8]", *SHORT]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(
            ["model.code_weight=0,0.5", *TINY], "Cannot search model.code_weight by loss", marks=pytest.mark.slow
        ),
        (["model.likelihood=bernoulli,gaussian", *VAE, "search.metric=reconstruction"], "by reconstruction"),
        pytest.param(["model=ae,vae", *VAE[1:]], "Cannot search model by loss", marks=pytest.mark.slow),
        (["data.keep=[1],[2]", *VAE], "it changes the validation data"),
        (["model.latent_dim=interval(2,8)", *VAE], "got 2.0. Write model.latent_dim=int(interval(2,8))."),
        (["model.latent_dim=2,4", *VAE, "search.metric=FD-clasifier"], "Did you mean 'FD-classifier'?"),
        (["model.latent_dim=2,4", *VAE, "search.trails=3"], "Did you mean 'search.trials'?"),
        (["model.latent_dim=2,4", *VAE, "search.trials=0"], "search.trials must be at least 1, got 0."),
        (["model.latent_dim=2,4", *VAE, "search.prune=medan"], "Did you mean 'median'?"),
        (
            ["model.latent_dim=2,4", *VAE, "search.metric=[loss,kl]", "search.prune=median"],
            "needs a single search.metric",
        ),
        (["model.latent_dim=2,4", *VAE, "search.jobs=2"], "search.jobs=2 needs a launcher"),
        (["model.latent_dim=2,4", *VAE, "devices=2"], "trains each trial on one device"),
        (VAE, "There is nothing to search."),
        (
            ["model=gan", "data=gaussian", "model.optimizers.generator.lr=1e-3,1e-4", *SHORT[1:]],
            "Give one, such as search.metric=FD-coordinates. Available: loss, ",
        ),
        (["model.latent_dim=2,4", *VAE, "hydra/sweeper=basic"], "hydra/sweeper is for `genlab train -m`."),
    ],
)
def test_a_search_that_could_only_mislead_is_refused(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    assert_refused(genlab(tmp_path, "search", *arguments, "run=refused"), sentence)
    assert not (tmp_path / "refused").exists()


def test_the_refusal_names_the_metrics_that_do_not_contain_the_setting(tmp_path: Path) -> None:
    done = genlab(tmp_path, "search", "model.beta=interval(0.25,8)", *VAE)
    assert_refused(done, "Cannot search model.beta by loss: the meaning of loss depends on it")
    available = done.stderr.partition("Available: ")[2].strip().split(", ")
    assert {"reconstruction", "kl", "FD-classifier", "PSNR"} <= set(available)
    assert "loss" not in available


def test_a_setting_that_validations_leave_out_can_be_searched_by_the_loss(tmp_path: Path) -> None:
    # The loss of a validation is the bound, without what changes the cost of the codes in training.
    asked = Asked(["model.free_bits=0,0.5", *VAE], [], [])
    assert prepared(asked, tmp_path / "bits", Console(), lambda: None).plan.metrics == ["loss"]


def test_several_metrics_give_a_front(tmp_path: Path) -> None:
    arguments = ["model.beta=0.01,100", "search.metric=[reconstruction,kl]", *VAE, "model.optimizers.model.lr=1e-2"]
    done = genlab(tmp_path, "search", *arguments, "search.trials=3", "search.seed=1", "run=front")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "front/search.json").read_text())["result"]["best"]
    points = [(one["values"]["reconstruction"], one["values"]["kl"]) for one in found]
    every = [tuple(trial[3]) for trial in ended(tmp_path / "front")]
    assert len(points) > 1
    assert points == sorted(points)
    for point in points:
        assert not any(other != point and other[0] <= point[0] and other[1] <= point[1] for other in every)
    # Both values are of the same weights, those at the end.
    facts = Run(Path(tmp_path / found[0]["run"])).facts
    assert facts["validation"]["kl"] == points[0][1]
    assert (tmp_path / "front/search.png").exists()


@pytest.mark.slow
def test_a_quick_metric_is_measured_at_every_validation_and_the_larger_one_is_better(tmp_path: Path) -> None:
    assert better("PSNR") == "higher"
    # An autoencoder without a prior does not sample, so no classifier is trained for its metrics.
    arguments = [SIZE, *TINY, "search.metric=PSNR", "search.trials=2", "run=psnr"]
    done = genlab(tmp_path, "search", *arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "psnr/search.json").read_text())
    values = [trial[3][0] for trial in ended(tmp_path / "psnr")]
    assert found["result"]["best"][0]["values"]["PSNR"] == max(values)
    assert "trainer.evaluate=always" in found["arguments"]
    lines = [json.loads(line) for line in (tmp_path / "psnr/trial-0000/metrics.jsonl").read_text().splitlines()]
    validations = [line for line in lines if line["split"] == "validation"]
    assert len(validations) == 4
    assert values[0] == max(line["PSNR"] for line in validations)
    assert Run(tmp_path / "psnr/trial-0000").facts["best"]["metric"] == "PSNR"


def test_failed_trials_are_recorded_and_do_not_stop_the_search(tmp_path: Path) -> None:
    # A code without numbers is refused, so about half of the trials fail.
    arguments = ["model.latent_dim=choice(0,4)", LR, *TINY, "search.sampler=random"]
    done = genlab(tmp_path, "search", *arguments, "search.trials=4", "run=a folder, with a comma")
    assert done.returncode == 0, done.stderr
    states = [trial[1] for trial in ended(tmp_path / "a folder, with a comma")]
    assert {"FAIL", "COMPLETE"} == set(states)
    result = json.loads((tmp_path / "a folder, with a comma/search.json").read_text())["result"]
    assert result["counts"]["fail"] == states.count("FAIL")
    assert "latent_dim" in result["reasons"][0]
    assert "failed: " in done.stdout


def test_a_full_disk_stops_the_search_and_is_no_fault_of_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a file")

    monkeypatch.setattr(lifecycle, "train", fail)
    done = genlab(tmp_path, *SEARCH, "search.trials=2", "run=full")
    assert_refused(done, "I/O error: No space left on device: a file. To continue, repeat the command with run=full")
    assert [one[1] for one in ended(tmp_path / "full")] == ["RUNNING"]


@pytest.mark.slow
def test_a_search_whose_trials_all_fail_for_one_reason_ends_with_it(tmp_path: Path) -> None:
    arguments = ["model.optimizers.model.lr=interval(1e37,1e38)", "model.optimizers.model.optimizer=sgd", *VAE]
    done = genlab(tmp_path, "search", *arguments, "search.trials=6", "run=hopeless")
    assert done.returncode == 2
    assert "All trials have failed for the same reason" in done.stderr
    assert len(ended(tmp_path / "hopeless")) == 3


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib", "search.jobs=2"]])
def test_ctrl_c_saves_the_running_trials_and_says_how_to_continue(tmp_path: Path, launcher: list[str]) -> None:
    asked = [*SEARCH[:3], *TINY, "trainer.steps=200000", "search.trials=2", "run=stopped", *launcher]
    asked = [one for one in asked if one not in SHORT[2:]]
    process = start(tmp_path, *asked)
    while process.poll() is None and not list(tmp_path.glob("stopped/trial-0000/checkpoints/*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(300) == 130, (tmp_path / "out.txt").read_text()
    assert "To continue, repeat the command with run=stopped" in (tmp_path / "out.txt").read_text()
    assert Run(tmp_path / "stopped/trial-0000").state == "stopped"


def test_a_missing_optuna_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert_refused(genlab(tmp_path, "search", SIZE, *TINY), "pip install 'genlab[search]'")


def test_the_help_shows_ranges_and_every_setting_of_a_search(tmp_path: Path) -> None:
    shown = genlab(tmp_path, "search", "--help").stdout
    for word in ("tag(log,interval(", "search.trials", "search.metric", "search.prune", "search.jobs", "run=FOLDER"):
        assert word in shown
    assert " search " in genlab(tmp_path, "--help").stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("prune", ["median", "hyperband"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_search_that_is_killed_again_and_again_ends_as_one_that_was_not(
    tmp_path: Path, jobs: int, prune: str
) -> None:
    launcher = ["hydra/launcher=joblib", f"search.jobs={jobs}"] if jobs > 1 else []
    asked = [*SEARCH, "search.trials=10", f"search.prune={prune}", *launcher]
    assert genlab_apart(tmp_path, *asked, "run=whole").returncode == 0
    delays = random.Random(jobs)
    # Kills hit the plan, the asking, the training and the telling; the delays are the same in each call of the test.
    for there in (
        "search.json",
        "search.journal",
        "trial-0001",
        "trial-0003/metrics.jsonl",
        "trial-0005",
        "trial-0007",
    ):
        process = start(tmp_path, *asked, "run=killed")
        while process.poll() is None and not list((tmp_path / "killed").glob(there)):
            time.sleep(0.002)
        time.sleep(delays.uniform(0, 0.5))
        _kill_tree(process.pid)
        process.wait()
    assert "RUNNING" in {trial[1] for trial in ended(tmp_path / "killed")}
    done = genlab_apart(tmp_path, *asked, "run=killed")
    assert done.returncode == 0, done.stderr
    assert ended(tmp_path / "killed") == ended(tmp_path / "whole")


def _kill_tree(process: int) -> None:
    """Kill a process and those that it has started."""
    children = Path(f"/proc/{process}/task/{process}/children")
    for child in children.read_text().split() if children.exists() else ():
        _kill_tree(int(child))
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_search_by_a_launcher_finds_what_it_finds_without_one(tmp_path: Path, launcher: str) -> None:
    asked = [*SEARCH, "search.trials=5", "search.prune=median"]
    assert genlab_apart(tmp_path, *asked, "run=here").returncode == 0
    done = genlab_apart(tmp_path, *asked, f"hydra/launcher={launcher}", "run=there")
    assert done.returncode == 0, done.stderr
    assert ended(tmp_path / "there") == ended(tmp_path / "here")
    several = genlab_apart(tmp_path, *asked, f"hydra/launcher={launcher}", "search.jobs=2", "run=two")
    assert several.returncode == 0, several.stderr
    assert {trial[1] for trial in ended(tmp_path / "two")} <= {"COMPLETE", "PRUNED"}
    assert "trial-0004 (5 of 5)" in several.stdout
