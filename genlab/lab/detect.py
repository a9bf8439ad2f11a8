"""Find anomalies: score items with a model of normal items, and flag those above a threshold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import torch
from torch import Tensor

from genlab import charts
from genlab.contract import Reconstructs
from genlab.data import held_out
from genlab.kinds import Classes, Image, Kind, Points, Row, Tokens
from genlab.kinds.sheet import sheet
from genlab.lab.anomaly_scores import PCA, WAYS, Detector
from genlab.lab.given import Given
from genlab.lab.results import Results
from genlab.lab.run import Run
from genlab.metrics.detection import Calibration, ranking
from genlab.metrics.detection import calibrate as calibration_of
from genlab.registry import ConfigError, pick, unknown

COUNT = 10_000
"""Default number of items of a data set."""

_ACROSS, _WORST, _BEST = 12, 36, 12
"""Items in a row of the sheet, and the most and the least anomalous ones that are drawn."""

Names = str | int | Sequence[str | int]
"""One class or several, by name or number."""


@dataclass(frozen=True)
class Detection:
    """Scores of items, the threshold above which they are flagged, and the metrics if classes are known."""

    given: Given
    kind: Kind
    by: str
    scores: Tensor
    """The score of each item, in the order of the items; higher is more anomalous."""
    labels: tuple[str, ...] | None
    """The class of each item, if it is known."""
    normal: tuple[str, ...]
    """The names of the normal classes; empty if all items count as normal or nothing is known."""
    validation: Tensor
    """The scores of the run's own normal validation items; empty if they are not there."""
    threshold: float | None
    calibration: Calibration | None
    reconstructed: Tensor | None
    metrics: Mapping[str, Mapping[str, float]]
    """`AUROC` and `average_precision` of the model and its baselines, if there are normal items and anomalies."""
    notes: tuple[str, ...]
    source: Mapping[str, str]
    """The run and the digest of its checkpoint."""

    @property
    def flagged(self) -> Tensor | None:
        """True for each item whose score is above the threshold; None without a threshold."""
        return None if self.threshold is None else self.scores > self.threshold

    @property
    def order(self) -> Tensor:
        """The positions of the items, the most anomalous first; equal scores keep the order of the items."""
        return self.scores.argsort(descending=True, stable=True)

    @property
    def anomalous(self) -> Tensor | None:
        """True for each item of a class that is not normal; None if classes or normal classes are unknown."""
        if self.labels is None or not self.normal:
            return None
        return torch.tensor([label not in self.normal for label in self.labels])

    def write(self, results: Results) -> None:
        """Write scores.csv, a sheet, a histogram and, if there is a threshold, threshold.json."""
        results.table("scores", *self._table())
        self._sheet(results)
        results.chart("histogram", self._histogram())
        if self.threshold is not None:
            facts = {**self.source, "by": self.by, "threshold": self.threshold}
            if found := self.calibration:
                facts |= {"rate": found.rate, "normal_items": found.count, "std_of_rate": found.std}
            results.text("threshold.json", json.dumps(facts, indent=2) + "\n")

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Return the header and the lines of scores.csv, the most anomalous item first."""
        columns = {"item": self.given.names, "score": [f"{score:.9g}" for score in self.scores.tolist()]}
        if self.labels is not None:
            columns["label"] = self.labels
        if self.flagged is not None:
            columns["flagged"] = ["yes" if flagged else "no" for flagged in self.flagged.tolist()]
        return list(columns), [[column[place] for column in columns.values()] for place in self.order.tolist()]

    def _sheet(self, results: Results) -> None:
        """Draw the most anomalous items and the least anomalous ones, each above its reconstruction."""
        worst = self.order[:_WORST]
        # Of few items none is drawn twice.
        best = self.order[max(_WORST, len(self.order) - _BEST) :].flip(0)
        groups = {"most anomalous": worst, "least anomalous": best}
        rows = [row for title, places in groups.items() for row in self._rows(title, places)]
        if isinstance(self.kind, Image):
            # Not the kind's own way: a spectrogram would be played, too.
            results.picture("sheet", sheet(rows))
        else:
            results.sheet("sheet", self.kind, [Row("all", self.given.items), *rows] if self._plane else rows)

    @property
    def _plane(self) -> bool:
        return isinstance(self.kind, Points)

    def _rows(self, title: str, places: Tensor) -> list[Row]:
        """Return rows of items with their range of scores, and of their reconstructions."""
        rows = list[Row]()
        for part in torch.split(places, _ACROSS) if isinstance(self.kind, Image) and len(places) else (places,):
            if not len(part):
                continue
            first, last = float(self.scores[part[0]]), float(self.scores[part[-1]])
            rows.append(Row(title if self._plane else f"{title}: {first:.4g} to {last:.4g}", self.given.items[part]))
            if self.reconstructed is not None and not self._plane:
                rows.append(Row("reconstruction", self.reconstructed[part]))
        return rows

    def _histogram(self) -> charts.Chart:
        """Draw the scores of validation items, and those of the items, by normal and other classes if known."""
        groups, anomalous = dict[str, list[float]](), self.anomalous
        if len(self.validation):
            groups["validation, normal"] = self.validation.tolist()
        if anomalous is None:
            groups["items"] = self.scores.tolist()
        else:
            groups["items, normal"] = self.scores[~anomalous].tolist()
            groups["items, other classes"] = self.scores[anomalous].tolist()
        marks = {} if self.threshold is None else {f"threshold {self.threshold:.4g}": self.threshold}
        groups = {name: scores for name, scores in groups.items() if scores}
        title, below = f"Anomaly score by {self.by}", f"score: {WAYS[self.by].about}"
        return charts.histogram(title, below, groups, marks, outlined=("validation, normal",))


def detect(
    run: Run,
    given: Given,
    *,
    by: str = "error",
    calibrate: float | None = None,
    threshold: float | None = None,
    normal: Names = (),
) -> Detection:
    """Score items for anomaly, and measure the scores if there are items of normal and of other classes.

    `by` is one of WAYS. `calibrate` is the false-alarm rate of a threshold from the run's validation items. `normal`
    are the normal classes (default: the classes that the run was trained on with data.keep).
    """
    check(run, by, calibrate, threshold)
    way, detector = WAYS[by], Detector(run)
    labels, names = _classes(run, given, normal)
    validation, notes = _validation(run, names, needed=calibrate is not None)
    scorer = way.scorer(detector)
    scores, own = scorer(given.items), scorer(validation) if len(validation) else torch.empty(0)
    if not bool(torch.cat([scores, own]).isfinite().all()):
        raise ConfigError(f"{run.name} gives some of these items a score that is no finite number.")
    found = None if calibrate is None else calibration_of(own, calibrate)
    detection = Detection(
        given=given,
        kind=run.kinds["x"],
        by=by,
        scores=scores,
        labels=labels,
        normal=names,
        validation=own,
        threshold=found.threshold if found else threshold,
        calibration=found,
        reconstructed=run.reconstruct(given.items) if isinstance(run.model, Reconstructs) else None,
        metrics={},
        notes=(*notes, *_knows_more(run, names)),
        source={"run": str(run.path), "checkpoint": run.checkpoint_digest},
    )
    return _measured(detector, detection)


def check(run: Run, by: str, rate: float | None = None, threshold: float | None = None) -> None:
    """Raise a ConfigError if the run cannot score items in this way, or if rate and threshold make no sense."""
    Detector(run).check(by, pick("way to detect", by, WAYS))
    if rate is not None and threshold is not None:
        raise ConfigError("Give a threshold, or a false-alarm rate to calibrate one, not both.")
    if threshold is not None and not math.isfinite(threshold):
        raise ConfigError(f"The threshold must be a number, got {threshold}.")


def _classes(run: Run, given: Given, normal: Names) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return the class of each item, None if it is unknown, and the normal classes.

    The classes are those of the data set. For files they are the folders, if one of these is a normal class.
    """
    asked = [str(each) for each in ([normal] if isinstance(normal, str | int) else normal)]
    kept = tuple(dict.fromkeys(asked or _kept(run)))
    kind = given.kinds.get("label")
    if isinstance(kind, Classes):
        classes = tuple(kind.names[number] for number in given.columns["label"].tolist())
        return classes, tuple(kind.names[kind.number(each)] for each in kept) if asked else kept
    folders = tuple(PurePath(name).parent.name for name in given.names)
    if asked and not any(folders):
        raise ConfigError("The classes of these items are unknown. Put pictures into one folder for each class.")
    known = {folder.casefold(): folder for folder in folders}
    for each in asked:
        if each.casefold() not in known:
            raise unknown("class", each, set(folders))
    found = tuple(known[each.casefold()] for each in kept if each.casefold() in known)
    return (folders, found) if found else (None, ())


def _kept(run: Run) -> list[str]:
    """Return the names of the classes that the run was trained on, if data.keep chose them."""
    kind = run.kinds.get("label")
    kept = run.config["data"]["keep"] if isinstance(kind, Classes) else []
    return [kind.names[kind.number(str(each))] for each in kept] if isinstance(kind, Classes) else []


def _knows_more(run: Run, normal: Sequence[str]) -> list[str]:
    """Return a sentence if the run was trained on classes that count as anomalies."""
    kind = run.kinds.get("label")
    if not normal or _kept(run) or not isinstance(kind, Classes) or not set(normal) < set(kind.names):
        return []
    return [f"{run.name} was trained on all classes. Train on the normal ones with data.keep=[{', '.join(normal)}]."]


def _validation(run: Run, normal: Sequence[str], *, needed: bool) -> tuple[Tensor, list[str]]:
    """Return the normal validation items of the run, and a sentence if they are not there."""
    try:
        dataset = run.dataset
    except ConfigError as error:
        if needed:
            raise
        return torch.empty(0), [
            f"The histogram has no validation items, because the run's data cannot be read. {error}"
        ]
    rows = held_out.chosen(dataset, "validation", COUNT)
    # A folder can be called trouser where the data has Trouser.
    folded = {name.casefold() for name in normal}
    classes = [number for number, name in enumerate(dataset.classes) if name.casefold() in folded]
    if classes and dataset.labels is not None:
        rows = rows[torch.isin(dataset.labels[rows], torch.tensor(classes))]
    if len(rows):
        return torch.cat([batch["x"] for batch in held_out.batches(dataset, rows, torch.device("cpu"))]), []
    if needed:
        raise ConfigError(f"{run.name} has no normal validation items to calibrate with. Give a threshold.")
    return torch.empty(0), []


def _measured(detector: Detector, found: Detection) -> Detection:
    """Add the metrics of the model and of its baselines, if there are normal items and anomalies."""
    anomalous = found.anomalous
    if anomalous is None:
        return found
    if not 0 < int(anomalous.sum()) < len(anomalous):
        lacking = "normal items" if anomalous.all() else "anomalies"
        return replace(found, notes=(*found.notes, f"AUROC is left out: there are no {lacking} among the items."))
    model = ranking(found.scores, anomalous)
    if found.flagged is not None:
        model |= {"flagged normal": float(found.flagged[~anomalous].double().mean())}
        model |= {"flagged others": float(found.flagged[anomalous].double().mean())}
    metrics = {f"{detector.run.name} by {found.by}": model}
    if isinstance(found.kind, Tokens):
        return replace(found, metrics=metrics)
    scores = detector.baselines(found.given.items)
    metrics |= {name: ranking(each, anomalous) for name, each in scores.items()}
    note = f"The baselines are fitted to {len(detector.training):,} training {found.kind.plural}"
    note += f"; PCA has {detector.components} components." if PCA in scores else "."
    return replace(found, metrics=metrics, notes=(*found.notes, note))
