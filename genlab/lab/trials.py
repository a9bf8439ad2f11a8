"""Single results of a study, in a file that a later call of the same study reads."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from genlab.data.files.listing import shown
from genlab.lab.arms import ARMS, Arm
from genlab.registry import ConfigError

FILE = "trials.csv"
"""Every single result, a line each, written as soon as it is there."""


@dataclass(frozen=True)
class Trial:
    """The accuracy of one trained classifier."""

    run: str
    protocol: str
    """12 hex digits that change with anything that decides the results of a run's recipe."""
    images: int
    """Real images."""
    seed: int
    arm: Arm
    accuracy: float
    """Share of test images whose class is right."""
    distance: float | None = None
    """Frechet distance of the generator to validation images, in the features of the classifier of the same images."""
    as_asked: float | None = None
    """Share of generated images in which that classifier sees the class that was asked for."""
    generator_step: int | None = None
    """Training step of the generator that the validation has chosen."""

    @property
    def key(self) -> Key:
        """Everything that decides the accuracy."""
        return Key(self.protocol, self.images, self.seed, self.arm)


class Key(NamedTuple):
    """Everything that decides the accuracy of a classifier."""

    protocol: str
    images: int
    seed: int
    arm: Arm


class Ledger:
    """The single results in a CSV file; each new one is on the disk before the next training begins."""

    def __init__(self, path: Path) -> None:
        self.path, self._header = path, [each.name for each in fields(Trial)]
        self.known = {trial.key: trial for trial in self._read()}

    def add(self, trial: Trial) -> None:
        """Append a result."""
        self.known[trial.key] = trial
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self.path.exists() or not self.path.stat().st_size:
            writer.writerow(self._header)
        elif not self.path.read_bytes().endswith(b"\n"):
            text.write("\n")  # a process was killed in the middle of a line
        writer.writerow([getattr(trial, name) for name in self._header])
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(text.getvalue())
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> Iterator[Trial]:
        if not self.path.exists():
            return
        with open(self.path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is not None and list(reader.fieldnames) != self._header:
                raise ConfigError(f"{shown(str(self.path))} is not a file of this command. Choose another folder.")
            for line in reader:
                # A line that was not written to the end is computed again.
                with suppress(ValueError, TypeError):
                    yield _trial(line)


def _trial(line: Mapping[str, str]) -> Trial:
    arm = line["arm"]
    if arm not in ARMS:
        raise ValueError(arm)
    return Trial(
        line["run"],
        line["protocol"],
        int(line["images"]),
        int(line["seed"]),
        arm,
        float(line["accuracy"]),
        float(line["distance"]) if line["distance"] else None,
        float(line["as_asked"]) if line["as_asked"] else None,
        int(line["generator_step"]) if line["generator_step"] else None,
    )
