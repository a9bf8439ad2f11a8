"""Metrics in a comparison: the best comes first, and metrics that do not compare are named."""

from pathlib import Path
from typing import Any

import pytest

from genlab.comparison.comparison import Comparison
from genlab.runs.run import meant
from tests.fixtures.comparisons import MEASURED, comparison
from tests.fixtures.program import assert_refused, genlab
from tests.fixtures.runs_made_up import evaluate, make_run


def order(found: Comparison) -> list[str]:
    return [row.name for row in found.rows]


def test_the_best_comes_first_in_either_direction(sweep: Path) -> None:
    found = comparison(sweep)
    assert [row.metrics["FD-classifier"].mean for row in found.sorted("FD-classifier").rows] == [
        *(10, 10, 11, 11, 40, 40, 41, 41)
    ]
    assert [row.metrics["PSNR"].mean for row in found.sorted("PSNR").rows] == [19] * 4 + [16] * 4
    assert [row.cost["seconds"] for row in found.sorted("seconds").rows] == [10] * 4 + [40] * 4
    assert set(order(found.sorted("device"))) == set(order(found))


def test_the_lowest_loss_comes_first_and_runs_without_one_last(tmp_path: Path) -> None:
    losses = {"a": {"loss": 3.0}, "b": {}, "c": {"loss": 1.0}, "d": {"loss": float("nan")}, "e": {"loss": -2.0}}
    runs = [make_run(tmp_path / name, validation=loss) for name, loss in losses.items()]
    assert order(comparison(*runs).sorted("validation/loss")) == ["e", "c", "a", "b", "d"]


@pytest.mark.parametrize("option", ["--sort", "--metrics"])
def test_an_unknown_metric_is_refused_with_the_nearest_name(pair: list[Path], option: str) -> None:
    done = genlab(pair[0].parent, "compare", "0", "1", option, "FD-clasifier")
    assert_refused(done, "Did you mean 'FD-classifier'?")
    assert not (pair[0].parent / "outputs").exists()


def test_chosen_metrics_are_shown_in_the_given_order(pair: list[Path]) -> None:
    found = comparison(*pair).only(["seconds", "PSNR", "test/loss"])
    assert (found.metrics, found.costs) == (["PSNR", "test/loss"], ["seconds"])


def test_a_sweep_stands_for_its_runs_and_each_is_taken_once(sweep: Path, tmp_path: Path) -> None:
    one = next(sweep.iterdir())
    assert len(meant([str(sweep)])) == len(meant([str(one), str(sweep), str(one)])) == 8
    assert_refused(genlab(tmp_path, "compare", str(tmp_path)), "There are no runs in ")
    assert_refused(genlab(tmp_path, "compare", "nowhere"), "'nowhere'")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            {"modelled": "f" * 16},
            "the data (fashion-mini, fingerprint 00000000abcdabcd for 0; fashion-mini, fingerprint f",
        ),
        ({"split": "validation"}, "the split (test for 0; validation for 1)"),
        ({"samples": 500}, "the number of samples (2000 for 0; 500 for 1)"),
        ({"features_digest": "0" * 16}, "the weights of the features (fedcba9876543210 for 0; 0000000000000000 for 1)"),
        ({"seeds": [0]}, "the seeds (0, 1, 2 for 0; 0 for 1)"),
        ({"neighbours": 5}, "the neighbours (not known for 0; 5 for 1)"),
    ],
)
def test_metrics_of_different_protocols_do_not_compare(pair: list[Path], changed: Any, reason: str) -> None:
    evaluate(pair[1], MEASURED, **changed)
    found = comparison(*pair)
    notes = [note for note in found.notes if note.startswith("Not comparable: FD-classifier, PSNR. ")]
    assert len(notes) == 1
    assert reason in notes[0]
    assert {"FD-classifier", "PSNR"} <= found.mixed
    assert found.best("FD-classifier") is None


def test_metrics_of_the_same_protocol_compare(pair: list[Path]) -> None:
    found = comparison(*pair)
    assert found.notes == []
    assert not found.mixed
    assert found.remark("FD-classifier") == "lower is better"
    assert found.baseline("FD-classifier") == 1.5


def test_metrics_that_read_no_labels_compare_if_only_the_labels_differ(tmp_path: Path) -> None:
    labelled, unlabelled = (
        make_run(tmp_path / name, "seed=1", fingerprint=name * 8, test={"loss": 1.0}) for name in ("ab", "cd")
    )
    metrics = MEASURED | {"probe_accuracy": (0.5, None, None)}
    evaluate(labelled, metrics, fingerprint="ab" * 8)
    evaluate(unlabelled, metrics, fingerprint="cd" * 8)
    found = comparison(labelled, unlabelled)
    assert found.mixed == {"probe_accuracy"}
    assert [note for note in found.notes if "Not comparable" in note] == [
        "Not comparable: probe_accuracy. The difference: the data (fashion-mini, fingerprint abababababababab for ab; "
        "fashion-mini, fingerprint cdcdcdcdcdcdcdcd for cd)."
    ]
    conditional = make_run(tmp_path / "told", "seed=1", fingerprint="ef" * 8, told=["label"])
    assert comparison(labelled, conditional).mixed >= {"validation/loss", "test/loss"}


def test_different_library_versions_are_named_and_metrics_still_compare(pair: list[Path]) -> None:
    for run, version in zip(pair, ("2.12", "2.13"), strict=True):
        evaluate(run, MEASURED, versions={"torch": version})
    found = comparison(*pair)
    assert found.notes == [
        "Measured with different versions of torch (2.12, 2.13); the last digits may differ for that reason."
    ]
    assert not found.mixed


def test_losses_on_different_data_do_not_compare(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two", modelled="f" * 16)
    assert comparison(one, two).mixed == {"validation/loss", "test/loss"}
    other = make_run(tmp_path / "other", "model.network.hidden=[8]", test={"loss": 9.0})
    assert comparison(one, other).best("test/loss") == 2.5


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"format": 2, "last": {"metrics": {}, "notes": {"sample": 3}}, "data": {}, "parts": {}}',
        '{"format": 2, "last": {"metrics": {}, "notes": []}, "data": {}, "parts": {}}',
        '{"format": 2, "last": {"metrics": {"FD": 3}, "notes": {}}, "data": {}, "parts": {}}',
        '{"format": 2, "last": {"metrics": {"FD": {"mean": NaN}}, "notes": {}}, "data": {}, "parts": {}}',
        '{"format": 2, "last": null, "data": {}}',
        '{"format": 1, "last": {"metrics": {}, "notes": {}}, "data": {}, "parts": {}}',
    ],
)
def test_an_unreadable_evaluation_is_named_and_the_metrics_of_the_training_are_shown(
    pair: list[Path], text: str
) -> None:
    (pair[0] / "evaluation.json").write_text(text)
    found = comparison(*pair)
    assert set(found.rows[0].metrics) == {"validation/loss", "test/loss"}
    assert set(found.rows[1].metrics) > set(MEASURED)
    assert any("Cannot read the evaluation.json of 0 (" in note for note in found.notes)


def test_a_run_that_was_not_evaluated_or_not_finished_is_named(tmp_path: Path) -> None:
    found = comparison(make_run(tmp_path / "one"), make_run(tmp_path / "two", "seed=1", state="stopped"))
    assert any(note.startswith("Not evaluated") and "all 2 runs" in note for note in found.notes)
    assert "Not finished (stopped): two." in found.notes


def test_a_run_whose_process_has_ended_without_a_word_is_interrupted_and_not_running(tmp_path: Path) -> None:
    found = comparison(make_run(tmp_path / "one"), make_run(tmp_path / "two", "seed=1", state="running"))
    assert "Not finished (interrupted): two." in found.notes


def test_an_evaluation_of_an_earlier_checkpoint_is_named(pair: list[Path]) -> None:
    evaluate(pair[1], MEASURED, step=50)
    assert "Evaluated at step 50, but the last checkpoint is now of step 100: 1." in comparison(*pair).notes


def test_a_note_of_several_evaluations_is_shown_once_with_the_runs(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(seed), f"seed={seed}") for seed in range(3)]
    for number, run in enumerate(runs):
        shared, single = ["Few images."], ["No labels."] if number == 1 else []
        evaluate(run, MEASURED, notes={"sample": shared, "remember": shared, "codes": single})
    assert comparison(*runs).notes == ["Few images (all 3 runs).", "No labels (1)."]


def test_the_best_checkpoint_is_shown_if_it_was_kept_and_else_the_last(tmp_path: Path) -> None:
    kept = make_run(tmp_path / "kept", best={"step": 60, "metric": "loss", "value": 1.25})
    evaluate(kept, MEASURED, best={"PSNR": (30.0, None, None)})
    found = comparison(kept, evaluate(make_run(tmp_path / "none"), MEASURED), checkpoint="best")
    one, two = ({name: metric.mean for name, metric in row.metrics.items()} for row in found.rows)
    assert one == {"PSNR": 30.0, "validation/loss": 1.25}
    assert two == {"FD-classifier": 20.25, "PSNR": 18.125, "validation/loss": 2.0, "test/loss": 2.5}
    assert [row.measured.checkpoint for row in found.rows] == ["best", "last"]
    assert "No best checkpoint was kept or evaluated for none; the last checkpoint is shown." in found.notes


def test_no_run_is_the_best_if_all_have_the_same_value(pair: list[Path]) -> None:
    for run, score in zip(pair, (1.0, 2.0), strict=True):
        evaluate(run, {"PSNR-noise-0.1-input": (21.8, None, None), "negative_elbo": (score, None, None)})
    found = comparison(*pair)
    assert (found.best("PSNR-noise-0.1-input"), found.best("negative_elbo")) == (None, 1.0)
