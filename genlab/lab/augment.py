"""A study: how much the images of a conditional generator help a classifier of few images."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, cast

from genlab import charts
from genlab.data.files.cache import lock
from genlab.data.files.listing import shown
from genlab.data.progress import progress
from genlab.kinds import Classes
from genlab.lab.arms import ARMS, Arm, Cell, Recipe, Settings, recipe_of
from genlab.lab.results import Results
from genlab.lab.run import Run, at_least
from genlab.lab.trials import FILE, Key, Ledger, Trial
from genlab.metrics.intervals import Interval, interval
from genlab.registry import ConfigError

if TYPE_CHECKING:
    from genlab.charts import Axes, Chart

STEPS, BATCH, WIDTH, SHARE, GENERATED, SEEDS = 1500, 64, 32, 0.25, 10_000, 3
_WIDEST = 30
"""The chart shows gains and intervals up to this many points."""
_COLOURS: dict[Arm, str] = {
    "real": "#777777",
    "real + ordinary": "#3b6ea5",
    "real + generated": "#d1661b",
    "real + ordinary + generated": "#5a8f3d",
    "generated": "#8a5aa5",
}


@dataclass(frozen=True)
class Row:
    """One arm of one run at one number of images, over all seeds."""

    run: str
    images: int
    arm: Arm
    accuracy: float
    """Mean over the seeds, in percent."""
    seeds: int
    over_real: Interval | None
    """Gain over real images alone in points, paired over the seeds, with its 95 % interval."""
    over_ordinary: Interval | None
    """The same over real images with ordinary augmentation; for the arm that adds generated images to these."""


@dataclass(frozen=True)
class Study:
    """The results of a study: every single one, and means with paired confidence intervals."""

    trials: tuple[Trial, ...]
    """All results that were asked for, in the order of runs, numbers of images, seeds and arms."""
    protocols: Mapping[str, Mapping[str, Any]]
    """All settings that decide the results, by the name of the run."""
    folder: Path
    """The folder with the single results."""

    @property
    def rows(self) -> list[Row]:
        """Means over the seeds, a row for each run, number of images and arm."""
        cells = dict.fromkeys((trial.run, trial.images) for trial in self.trials)
        return [self._row(*cell, arm) for cell in cells for arm in ARMS]

    def _row(self, run: str, images: int, arm: Arm) -> Row:
        accuracies = {
            each: {t.seed: 100 * t.accuracy for t in self.trials if (t.run, t.images, t.arm) == (run, images, each)}
            for each in ARMS
        }
        own = accuracies[arm]

        def over(other: Arm) -> Interval:
            return interval([value - accuracies[other][seed] for seed, value in own.items()])

        return Row(
            run,
            images,
            arm,
            mean(own.values()),
            len(own),
            over("real") if arm != "real" else None,
            over("real + ordinary") if arm == "real + ordinary + generated" else None,
        )

    def write(self, results: Results) -> None:
        """Write the means as a table and as a chart, and the protocol; the single results are there already."""
        results.written.append(self.folder / FILE)
        header = [name for name in Row.__dataclass_fields__ if not name.startswith("over")]
        ends = [f"{over}{end}" for over in ("over_real", "over_ordinary") for end in ("", "_low", "_high")]
        results.table("augment", [*header, *ends], [_cells(row) for row in self.rows])
        results.chart("augment", chart(self.rows))
        text = json.dumps(dict(self.protocols), indent=2) + "\n"
        results.file("protocol.json", lambda file: cast(None, file.write(text.encode())))


def augment(
    runs: Sequence[Run],
    sizes: Sequence[int],
    *,
    seeds: int = SEEDS,
    share: float = SHARE,
    steps: int = STEPS,
    batch_size: int = BATCH,
    width: int = WIDTH,
    generator_steps: int | None = None,
    generated: int = GENERATED,
    flip: bool | None = None,
    shift: int | None = None,
    results: Results | None = None,
) -> Study:
    """Measure how much generated images help a classifier that has few real ones.

    For each number of images in `sizes` and each of `seeds` draws, a generator of the run's recipe learns from these
    images only, and validation images choose its step. Then a classifier is trained for each arm: on the real images,
    with ordinary augmentation, with `share` of each batch generated, with both, and on generated images only. All
    classifiers have `width` channels in their first layer and `steps` training steps of `batch_size` images. The
    accuracy is that on all test images.

    A generator has `generator_steps` training steps (default: those of the run) and generates `generated` images. The
    ordinary augmentation is the run's own, or flips and shifts; `flip` and `shift` (in pixels) set it.

    Each result is written into trials.csv at once (default folder: lab/augment in the first run). A study that was
    stopped goes on from there, and results with the same protocol are not computed again.
    """
    settings = Settings(
        share=_share(share),
        steps=at_least(1, "steps", steps),
        batch_size=at_least(2, "batch_size", batch_size),
        width=at_least(1, "width", width),
        generator_steps=None if generator_steps is None else at_least(1, "generator_steps", generator_steps),
        generated=at_least(batch_size, "generated", generated),
        flip=flip,
        shift=None if shift is None else at_least(0, "shift", shift),
    )
    numbers = sorted({at_least(2, "sizes", size) for size in sizes})
    if not numbers or not runs:
        raise ConfigError("A study needs at least one run and one number of images in sizes.")
    draws = range(at_least(1, "seeds", seeds))
    recipes = [recipe_of(run, name, settings) for name, run in _named(runs).items()]
    _check(recipes, numbers)
    results = results or Results(default_folder(runs[0]))
    results.folder.mkdir(parents=True, exist_ok=True)
    with lock(results.folder, "study", wait=False) as ours:
        if not ours:
            raise ConfigError(f"Another process works on the study in {shown(str(results.folder))}.")
        ledger = Ledger(results.folder / FILE)
        cells = [
            Cell(recipe, size, seed, results.folder / "work" / recipe.digest / f"{size}-{seed}")
            # Seeds come last, so that a study that is stopped has all arms of all numbers for the seeds so far.
            for seed in draws
            for recipe in recipes
            for size in numbers
        ]
        _fill(ledger, cells, results)
    trials = [
        replace(ledger.known[Key(recipe.digest, size, seed, arm)], run=recipe.name)
        for recipe in recipes
        for size in numbers
        for seed in draws
        for arm in ARMS
    ]
    return Study(tuple(trials), {recipe.name: recipe.facts for recipe in recipes}, results.folder)


def default_folder(run: Run) -> Path:
    """Return the folder of the studies of a run."""
    return run.path / "lab" / "augment"


def _share(share: float) -> float:
    if not 0 < share < 1:
        raise ConfigError(f"share must be above 0 and below 1, got {share:g}.")
    return float(share)


def _check(recipes: Sequence[Recipe], sizes: Sequence[int]) -> None:
    """Raise a ConfigError for a number of images that a run's data cannot give, and for a recipe that comes twice."""
    known = dict[str, str]()
    for recipe in recipes:
        for size in sizes:
            recipe.check(size)
        if recipe.digest in known:
            raise ConfigError(
                f"{known[recipe.digest]} and {recipe.name} have the same recipe and data; name one of them."
            )
        known[recipe.digest] = recipe.name


def _named(runs: Sequence[Run]) -> dict[str, Run]:
    """Return the runs by name, or by folder where several have the same name."""
    names = [run.name for run in runs]
    return {run.name if names.count(run.name) == 1 else str(run.path): run for run in runs}


def _fill(ledger: Ledger, cells: list[Cell], results: Results) -> None:
    """Train what the ledger does not know yet; take the cells out of the list."""
    work = {cell: _missing(ledger, cell) for cell in cells}
    trainings = sum(len(arms) + any("generated" in arm for arm in arms) for arms in work.values())
    cells.clear()
    if not trainings:
        results.say("All results of this study are there already.")
        return
    results.say(
        f"{trainings:,} networks to train. Each result is written to {shown(str(ledger.path))} at once, "
        "and the same command continues from there."
    )
    with progress(trainings, "training networks", "trained", "networks") as advance:
        while work:
            # Taken out, so that the generated images of a cell do not stay in memory.
            cell = next(iter(work))
            for arm in work.pop(cell):
                _fill_one(ledger, cell, arm, results, advance)
            _tidy(cell, results.folder)


def _missing(ledger: Ledger, cell: Cell) -> list[Arm]:
    return [arm for arm in ARMS if Key(cell.recipe.digest, cell.size, cell.seed, arm) not in ledger.known]


def _fill_one(ledger: Ledger, cell: Cell, arm: Arm, results: Results, advance: Callable[[], None]) -> None:
    head = f"{cell.recipe.name}, {cell.size:,} images, seed {cell.seed}"
    made = None
    if "generated" in arm:
        first, made = "generated" not in vars(cell), cell.generated
        if first:
            results.say(
                f"{head}: generator at step {made.step:,} of {cell.recipe.generator_steps:,}, FD {made.distance:.3g}, "
                f"{made.as_asked:.0%} of its images as asked"
            )
            _show(cell, results)
            advance()
    trial = Trial(
        cell.recipe.name,
        cell.recipe.digest,
        cell.size,
        cell.seed,
        arm,
        cell.accuracy(arm),
        *((made.distance, made.as_asked, made.step) if made else ()),
    )
    ledger.add(trial)
    results.say(f"{head}: {arm} {trial.accuracy:.2%}")
    advance()


def _show(cell: Cell, results: Results) -> None:
    """Write a few images of the first generator of each number of images, so that a person can judge them."""
    if cell.seed == 0:
        columns = cell.generated.pool.columns
        classes = columns["label"].kind
        assert isinstance(classes, Classes)
        name = re.sub(r"[^\w.-]+", "-", f"generated-{cell.recipe.name}-{cell.size}")
        results.sheet(name, columns["x"].kind, cell.generated.rows(classes))


def _tidy(cell: Cell, folder: Path) -> None:
    """Remove the checkpoints of a cell that is complete."""
    shutil.rmtree(cell.folder, ignore_errors=True)
    for parent in (cell.folder.parent, folder / "work"):
        # rmdir refuses a folder in which other work lies.
        with suppress(OSError):
            parent.rmdir()


def _cells(row: Row) -> list[object]:
    facts = [getattr(row, name) for name in Row.__dataclass_fields__ if not name.startswith("over")]
    nothing = Interval(cast(float, None), None, None)
    return [*facts, *(row.over_real or nothing), *(row.over_ordinary or nothing)]


def chart(rows: Sequence[Row]) -> Chart:
    """Draw for each run the accuracy of each arm, and its gain over real images with the 95 % interval."""
    runs = list(dict.fromkeys(row.run for row in rows))
    drawing, grid = charts.panels(len(runs), 2, left=0.6, height=2.2, gap=0.7, foot=0.5)
    for number, run in enumerate(runs):
        own = [row for row in rows if row.run == run]
        accuracy, gain = grid[number]
        _curves(accuracy, own, ARMS, lambda row: Interval(row.accuracy, None, None))
        charts.dress(accuracy, run, "accuracy on test images in %")
        # Generated images alone lose so much that the other arms would be one line.
        _curves(gain, own, ARMS[1:-1], lambda row: row.over_real)
        # Two seeds can give intervals of hundreds of points, beside which all gains would look the same.
        low, high = gain.get_ylim()
        gain.set_ylim(max(low, -_WIDEST), min(high, _WIDEST))
        gain.axhline(0, color=_COLOURS["real"], linewidth=1)
        several = any(row.seeds > 1 for row in own)
        charts.dress(gain, "gain over real images", f"in points{', with 95 % intervals' if several else ' (one seed)'}")
    lines, labels = grid[-1][0].get_legend_handles_labels()
    drawing.legend(lines, labels, loc="lower center", ncols=3, fontsize=7, frameon=False)
    return drawing


def _curves(panel: Axes, rows: Sequence[Row], arms: Sequence[Arm], value: Callable[[Row], Interval | None]) -> None:
    """Draw a curve over the numbers of images for each arm; the points of the arms stand side by side."""
    sizes = sorted({row.images for row in rows})
    for number, arm in enumerate(arms):
        aside = 0.03 * (number - (len(arms) - 1) / 2)
        found = [(sizes.index(row.images) + aside, each) for row in rows if row.arm == arm and (each := value(row))]
        places, middles = [place for place, _ in found], [each.mean for _, each in found]
        ends = [[each.mean - (each.mean if each.low is None else each.low) for _, each in found]]
        ends += [[(each.mean if each.high is None else each.high) - each.mean for _, each in found]]
        panel.errorbar(
            places, middles, ends, fmt="o-", color=_COLOURS[arm], label=arm, markersize=3.5, linewidth=1, capsize=2
        )
    panel.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    panel.set_xlabel("real images", fontsize=8)
    panel.grid(axis="y", color="#eeeeee")
