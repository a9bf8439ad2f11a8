"""Values and prunings depend on the finished trials alone, not on restarts."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from genlab.search import decisions
from genlab.search.journal import FILE, open_journal
from genlab.search.settings import SearchSettings

SPACE = {"a": FloatDistribution(0.0, 1.0), "b": FloatDistribution(1e-3, 1.0, log=True)}


def finished(count: int) -> list[FrozenTrial]:
    """Ask for trials one after another, and give them made-up values."""
    trials = list[FrozenTrial]()
    for number in range(count):
        params = decisions.chosen(trials, number, SPACE, SearchSettings(), ["minimize"])
        trial = create_trial(params=params, distributions=dict(SPACE), value=(params["a"] - 0.3) ** 2 + params["b"])
        trial.number = number
        trials.append(trial)
    return trials


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_the_values_of_a_trial_depend_on_the_trials_before_it_and_on_its_number(sampler: Any) -> None:
    trials, settings = finished(12), SearchSettings(sampler=sampler)
    first = decisions.chosen(trials, 12, SPACE, settings, ["minimize"])
    assert decisions.chosen(trials, 12, SPACE, settings, ["minimize"]) == first
    assert decisions.chosen(trials, 13, SPACE, settings, ["minimize"]) != first
    other = SearchSettings(sampler=sampler, seed=1)
    assert decisions.chosen(trials, 12, SPACE, other, ["minimize"]) != first


def test_a_guided_search_comes_closer_than_its_first_trials() -> None:
    values = [float(trial.value or 0) for trial in finished(40)]
    assert min(values[10:]) < min(values[:10])


def test_the_median_of_the_trials_before_prunes_and_those_of_the_same_group_do_not_count() -> None:
    before = [
        create_trial(params={}, distributions={}, value=1.0 + number, intermediate_values={5: 1.0 + number, 10: 1.0})
        for number in range(5)
    ]
    for number, trial in enumerate(before):
        trial.number = number
    trial = create_trial(state=TrialState.RUNNING, params={}, distributions={})
    trial.number, settings = 7, SearchSettings(prune="median")

    def pruned(values: dict[int, float], known: list[FrozenTrial]) -> bool:
        return decisions.judged(known, trial, values, settings, ["minimize"], (5, 10)).prune

    assert pruned({5: 3.5}, before)
    assert not pruned({5: 2.5}, before)
    assert not pruned({5: 3.5}, before[:3])
    # The larger value is the better one.
    assert not decisions.judged(before, trial, {5: 3.5}, settings, ["maximize"], (5, 10)).prune


def test_hyperband_decides_the_same_however_often_it_is_asked() -> None:
    settings, known = SearchSettings(prune="hyperband"), list[FrozenTrial]()
    verdicts = list[bool]()
    for number in range(20):
        trial = create_trial(state=TrialState.RUNNING, params={}, distributions={})
        trial.number = number
        values, prune, rungs = dict[int, float](), False, dict[str, Any]()
        for step in range(1, 10):
            values[step] = 1.0 + (7 * number % 11) / step
            prune, rungs = decisions.judged(known, trial, values, settings, ["minimize"], (1, 9))
            assert decisions.judged(known, trial, values, settings, ["minimize"], (1, 9)) == (prune, rungs)
            if prune:
                break
        done = create_trial(
            state=TrialState.PRUNED if prune else TrialState.COMPLETE,
            value=values[max(values)],
            params={},
            distributions={},
            intermediate_values=values,
            user_attrs={decisions.RUNGS: json.loads(json.dumps(rungs))},
        )
        done.number = number
        known.append(done)
        verdicts.append(prune)
    assert 3 < sum(verdicts) < 20


def test_a_line_that_a_killed_process_left_unfinished_does_not_break_the_journal(tmp_path: Path) -> None:
    study = open_journal(tmp_path, ["minimize"])
    study.add_trial(create_trial(params={}, distributions={}, value=1.0))
    with open(tmp_path / FILE, "ab") as file:
        file.write(b'{"op_code": 4, "worker')
    again = open_journal(tmp_path, ["minimize"])
    again.add_trial(create_trial(params={}, distributions={}, value=2.0))
    assert [trial.value for trial in open_journal(tmp_path, ["minimize"]).trials] == [1.0, 2.0]


def _add(folder: Path, count: int) -> None:
    study = open_journal(folder, ["minimize"])
    for number in range(count):
        study.add_trial(create_trial(params={}, distributions={}, value=float(number)))


def test_several_processes_write_one_journal(tmp_path: Path) -> None:
    _add(tmp_path, 1)
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_add, args=(tmp_path, 15)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(open_journal(tmp_path, ["minimize"]).trials) == 31
