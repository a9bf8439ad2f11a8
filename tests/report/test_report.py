"""A report holds what is on record for a run, and nothing that its data could break."""

import errno
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from genlab.registry import ConfigError
from genlab.report import report, several
from genlab.report.curves import thinned
from genlab.report.exhibits import MOST_STEPS, evenly
from genlab.report.html import Html, element
from genlab.report.overlay import aligned
from genlab.report.single import content
from genlab.runs.run import Run
from tests.fixtures.program import TINY, assert_refused, genlab
from tests.fixtures.runs_made_up import make_run
from tests.report.made_up import METRICS, NASTY, full_run, measure, page_of, picture, sweep


class Seen(HTMLParser):
    """The elements, the ids and the text of a page outside of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.ids, self.text = list[str](), list[str](), ""
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.inside = tag
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.text += f" {data}"


def test_a_run_is_described_with_its_metrics_settings_and_commands(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run", "model.beta=4", "trainer.epochs=3")
    written, page = page_of(run)
    assert written.path == run / "report.html"
    assert written.notes == []
    text = " ".join(Seen(page).text.split())
    for words in ("vae-fashion-mini", "finished, step 200", "200 steps in 1:00", "genlab train model=vae"):
        assert words in text
    # A metric with its std, its better direction, the baseline of real data, and how it was measured.
    for words in ("20.25 ± 0.50", "lower is better; real data: 1.500", "How good are its samples?", "fedcba9876543210"):
        assert words in text
    assert "model.beta 4 1.0" in text
    assert "trainer.epochs 3 20" in text


def test_text_from_runs_stays_text(tmp_path: Path) -> None:
    # Half of a character: JSON can hold it, and a file cannot.
    run = full_run(tmp_path / "run", name=f"{NASTY} \ud800", device=NASTY, command=f"genlab train {NASTY}", start=NASTY)
    facts = json.loads((run / "run.json").read_text())
    facts["columns"]["label"]["names"] = [NASTY, "two"]
    facts["warnings"] = {NASTY: 10}
    (run / "run.json").write_text(json.dumps(facts))
    measure(run, {NASTY: (1.0, None, None)}, notes={"samples": [NASTY]})
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("seed: 0", f"seed: 0\nstart: {NASTY!r}"))
    plain = full_run(tmp_path / "plain")
    for runs, scripts in (((run,), 7), ((run, plain), 8)):
        _, page = page_of(*runs, out=tmp_path / "page.html")
        seen = Seen(page)
        assert "b" not in seen.tags
        assert seen.tags.count("script") == scripts  # uPlot, the data and genlab's own
        assert re.sub(r"\s+", " ", NASTY[:60]) in re.sub(r"\s+", " ", seen.text)


def test_elements_escape_texts_and_attributes() -> None:
    assert element("p", "<b>", class_='"x') == '<p class="&quot;x">&lt;b&gt;</p>'
    assert element("p", Html("<b>"), None, ["a", 1], hidden=True, title=None) == "<p hidden><b>a1</p>"


def test_the_page_allows_no_request_and_only_its_own_scripts(tmp_path: Path) -> None:
    for runs in ((full_run(tmp_path / "one"),), (tmp_path / "one", full_run(tmp_path / "two", "model.beta=2"))):
        _, page = page_of(*runs, out=tmp_path / "page.html")
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
        assert "default-src &#x27;none&#x27;" in policy
        assert "unsafe" not in policy
        assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
        ids = Seen(page).ids
        assert len(ids) == len(set(ids))


def test_a_run_without_pictures_metrics_or_evaluation_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", validation=None, test=None, seconds=None)
    written, page = page_of(run)
    text = " ".join(Seen(page).text.split())
    assert "The run has no pictures, texts or sounds." in text
    assert "The run has no curves" in text
    assert "The run has no metrics yet." in text
    assert f"genlab evaluate {run}" in " ".join(written.notes)
    # The same in a sweep: with another run that has everything.
    other = full_run(tmp_path / "other", "model.beta=2")
    assert "Not evaluated" in page_of(run, other, out=tmp_path / "page.html")[1]


def test_values_that_are_not_finite_are_named(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    record = json.loads((run / "evaluation.json").read_text())
    record["last"]["metrics"]["PSNR"]["mean"] = None
    record["last"]["metrics"]["FD-classifier"]["mean"] = float("nan")
    (run / "evaluation.json").write_text(json.dumps(record))
    with open(run / "metrics.jsonl", "a") as file:
        file.write(
            '{"step": 210, "split": "train", "model/loss": null, "model/kl": NaN, "odd": "text", "big": 1e999}\n'
        )
    found = content(Run(run))
    shown = {one["name"]: one["value"] for one in found["evaluation"]["main"]}
    assert shown["PSNR"] == shown["FD-classifier"] == "not finite"
    (loss,) = (chart for chart in found["charts"] if chart["title"] == "loss")
    assert loss["series"][0]["values"][-1] is None
    _, page = page_of(run)
    assert "not finite" in page
    assert "Cannot read the evaluation.json" in page_of(run, full_run(tmp_path / "b"), out=tmp_path / "p.html")[1]


def test_a_run_in_training_is_shown_as_of_its_step(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run", state="running")
    facts = json.loads((run / "run.json").read_text())
    del facts["step"], facts["validation"], facts["test"]
    (run / "run.json").write_text(json.dumps(facts))
    (run / "log.txt").write_text(
        "step  150/200  loss 3\nstep 150: Mode collapse: alike.\nstep 200: Dead codes: many.\n"
    )
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 210, "split": "tra')  # being written now
    other = full_run(tmp_path / "other", "model.beta=2")
    with Run(run).lock():
        written, page = page_of(run)
        several, both = page_of(run, other, out=tmp_path / "both.html")
    assert "as of step 200" in written.notes[0]
    assert not [note for note in written.notes if "damaged" in note]
    assert content(Run(run))["own"][0] == {"name": "loss", "validation": "37.79"}
    assert "Warning at step 150: Mode collapse: alike." in page
    assert "at step 200" in several.notes[0]
    assert "Dead codes: many." in both


def test_a_last_line_that_is_cut_short_is_damage_once_the_training_has_ended(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(text[:-10])
    assert "(1 of its lines left out)" in " ".join(page_of(run)[0].notes)


def test_curves_stand_in_the_same_order_whichever_split_was_written_first(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join(sorted(lines, key=lambda line: "train" in line)) + "\n")
    assert [one["name"] for one in content(Run(run))["charts"][0]["series"]] == ["train", "validation"]


def test_a_stopped_run_is_named_with_the_command_that_continues_it(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run", state="stopped")
    assert f"`genlab resume {run}` continues it" in page_of(run)[0].notes[0]


def test_the_scatter_plot_begins_with_a_metric_that_compares(tmp_path: Path) -> None:
    runs = [full_run(tmp_path / name) for name in ("first", "second", "third")]
    metrics = {name: value for name, value in METRICS.items() if name != "negative_elbo"}
    # The third run has the other metrics by another protocol, and not the one that compares.
    measure(runs[2], metrics, count=999)
    plane = several.content([Run(run) for run in runs], "runs")["plane"]
    assert plane["columns"][plane["y"]]["remark"] == "lower is better"


def test_damaged_files_are_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([*lines[:5], '{"step": 5', *lines[5:]]) + "\n")
    (run / "images" / "samples-0000000100.png").write_bytes(b"\x89PNG broken")
    (run / "sounds" / "sounds-0000000050.wav").write_bytes(b"RIFF")
    written, _ = page_of(run)
    notes = " ".join(written.notes)
    assert "Line 6 of metrics.jsonl is damaged. The curves end before it (20 of its lines left out)." in notes
    assert "images/samples-0000000100.png (cannot be read)" in notes
    assert "sounds/sounds-0000000050.wav (cannot be read)" in notes
    (run / "evaluation.json").write_text("{")
    (run / "config.yaml").write_text("model: [")
    written, page = page_of(run)
    assert "evaluation.json cannot be read" in " ".join(written.notes)
    assert "The settings cannot be read" in page


def test_pictures_are_few_and_small(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    for step in range(1, 21):
        picture(run, "reconstructions", step, step, (1200, 100))
    found = {one["name"]: one for one in content(Run(run))["exhibits"]}
    shown = found["reconstructions"]
    assert len(shown["items"]) <= MOST_STEPS
    assert shown["items"][0]["step"] == 1
    assert shown["items"][-1]["step"] == 20
    assert shown["left_out"] == 20 - len(shown["items"])
    assert max(shown["items"][0]["width"], shown["items"][0]["height"]) <= 1000
    assert "of 20 steps are left out" in page_of(run)[1]
    assert evenly([1, 2, 3, 4, 5], 3) == [1, 3, 5]
    assert evenly([1, 2], 1) == [2]


def test_long_curves_keep_their_extremes_and_gaps() -> None:
    points = [(step, float(step % 7)) for step in range(10_000)]
    points[4321] = (4321, 99.0)
    points[7654] = (7654, -99.0)
    whole: list[tuple[int, float | None]] = [*points, (10_000, 3.0)]
    whole[2222] = (2222, None)
    kept = thinned(whole, 300)
    assert len(kept) <= 300
    assert {(4321, 99.0), (7654, -99.0), (2222, None), whole[0], whole[-1]} <= set(kept)
    assert kept == sorted(kept, key=lambda point: point[0])
    first, second = aligned([whole, points[::3]], 200)
    assert len({step for step, _ in first} | {step for step, _ in second}) <= 200
    assert {99.0, -99.0} <= {value for _, value in first}


def test_a_run_with_many_lines_stays_below_500_kb(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    terms = [f"{player}/term{number}" for player in ("generator", "discriminator") for number in range(15)]
    with open(run / "metrics.jsonl", "w") as file:
        for step in range(3000):
            values = {term: (step * place % 997) / 7 for place, term in enumerate(terms, start=1)}
            file.write(json.dumps({"step": step, "split": "train", **values}) + "\n")
    assert page_of(run)[0].size < 500_000


def test_a_sweep_has_a_table_effects_and_each_run(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "sweep")
    written, page = page_of(folder)
    assert written.path == folder / "report.html"
    text = " ".join(Seen(page).text.split())
    assert "4 runs" in text
    assert "beta 4.0, seed 2" in text
    assert page.count("<svg") == 2  # beta by PSNR and FD
    assert page.count("\u2605") == 2  # the best PSNR and the best FD
    assert page.count('id="run-') == 5  # the table, and one for each run


def test_metrics_that_do_not_compare_are_marked(tmp_path: Path) -> None:
    one = full_run(tmp_path / "one")
    other = full_run(tmp_path / "other", "data=mnist", fingerprint="other", modelled="other")
    measure(other, {**METRICS, "FD-classifier": (1.0, None, 1.5)}, fingerprint="other", modelled="other", step=200)
    _, page = page_of(one, other, out=tmp_path / "page.html")
    text = " ".join(Seen(page).text.split())
    assert "FD-classifier not comparable" in text
    assert "Not comparable:" in text
    assert "\u2605" not in page


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("genlab.report.write.write_atomically", full)
    with pytest.raises(ConfigError, match=r"page\.html cannot be written: No space left on device"):
        report([str(full_run(tmp_path / "run"))], tmp_path / "page.html")


def test_an_earlier_report_is_replaced_and_another_file_is_not(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    page_of(run)
    page_of(run)
    mine = tmp_path / "mine.html"
    mine.write_text("<p>mine")
    with pytest.raises(ConfigError, match="is not a report of genlab"):
        report([str(run)], mine)
    assert mine.read_text() == "<p>mine"
    with pytest.raises(ConfigError, match=r"must end in \.html"):
        report([str(run)], tmp_path / "page.pdf")
    assert report([str(run)], tmp_path / "new" / "page").path == tmp_path / "new" / "page.html"
    assert report([str(run)], tmp_path).path == tmp_path / "report.html"


def test_the_command_prints_the_place_and_the_size(tmp_path: Path) -> None:
    full_run(tmp_path / "outputs" / "mine", state="stopped")
    full_run(tmp_path / "outputs" / "other", "model.beta=2")
    done = genlab(tmp_path, "report", "outputs/mine")
    assert done.returncode == 0, done.stderr
    assert "The run was stopped at step 200" in done.stdout
    assert re.search(r"outputs/mine/report\.html \(\d+ kB\)", done.stdout)
    both = genlab(tmp_path, "report", "outputs/mine", "outputs/other")
    assert re.search(r"outputs/reports/[^/]+/report\.html", both.stdout)
    assert_refused(genlab(tmp_path, "report", "nothing"), "There is no run 'nothing'.")


def test_training_evaluation_and_sweeps_name_the_report(tmp_path: Path) -> None:
    trained = genlab(tmp_path, "train", "run=outputs/mine", *TINY)
    assert "genlab report outputs/mine" in trained.stdout
    measured = genlab(tmp_path, "evaluate", "outputs/mine", "--only", "reconstruct", "--images", "20")
    assert "genlab report outputs/mine" in measured.stdout
    swept = genlab(tmp_path, "train", "-m", "run=s", "seed=1", *TINY)
    assert "genlab report s" in swept.stdout
    done = genlab(tmp_path, "report", "latest")
    assert done.returncode == 0, done.stderr
