"""Progress of a training for a person: a live panel in a terminal, plain lines in a pipe and in log.txt."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console as Terminal
    from rich.console import RenderableType

Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Plan:
    """Length of a training, and the step at which it starts."""

    steps: int
    start: int
    epochs: int | None
    items: str = "items"
    """Plural name of the training items, such as images."""


class Console:
    """Output to a terminal and to log.txt; silent if it has neither."""

    def __init__(self, terminal: Terminal | None = None, log: Path | None = None) -> None:
        self.terminal, self.log = terminal, log
        self.live: Panel | None = None

    def say(self, text: str) -> None:
        """Print one plain line, on the screen and in log.txt."""
        if self.terminal:
            self.terminal.print(text, markup=False, highlight=False, soft_wrap=True)
        self._record(text)

    @contextmanager
    def watching(self, plan: Plan) -> Iterator[None]:
        """Show progress inside a `with` block, live if the terminal can."""
        self.plan, self._began = plan, time.perf_counter()
        try:
            if self.terminal and self.terminal.is_terminal:
                with Panel(self.terminal, plan) as self.live:
                    yield
            else:
                yield
        finally:
            self.live = None

    def progress(self, step: int, epoch: float, metrics: Metrics) -> None:
        """Show the means since the last log line."""
        done, left = step - self.plan.start, self.plan.steps - step
        seconds_left = (time.perf_counter() - self._began) / max(1, done) * left
        if self.live:
            self.live.progress(step, epoch, metrics)
        width = len(str(self.plan.steps))
        head = f"step {step:>{width}}/{self.plan.steps}  epoch {epoch:.1f}"
        self._plain(f"{head}  {listed(metrics)}  {clock(seconds_left)} left")

    def restarted(self, step: int) -> None:
        """Estimate the time that is left from this step on, because the training has returned to it."""
        self.plan, self._began = replace(self.plan, start=step), time.perf_counter()

    def validated(self, step: int, metrics: Metrics, best: bool) -> None:
        """Show the metrics of a validation."""
        if self.live:
            self.live.validated(step, metrics, best)
        self._plain(f"validation at step {step}: {listed(metrics)}{'  (best so far)' if best else ''}")

    def _plain(self, text: str) -> None:
        if self.terminal and not self.live:
            self.terminal.print(text, markup=False, highlight=False, soft_wrap=True)
        self._record(text)

    def _record(self, text: str) -> None:
        if self.log:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(text + "\n")


@dataclass
class Panel:
    """Live display: a progress bar, each player's terms, the last validation."""

    terminal: Terminal
    plan: Plan
    terms: dict[str, float | None] = field(default_factory=dict)
    validation: str = ""

    def __enter__(self) -> Panel:
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("epoch {task.fields[epoch]}"),
            TextColumn("{task.fields[speed]} {task.fields[items]}/s"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.terminal,
            expand=True,
            speed_estimate_period=60,
        )
        self.task = self.bar.add_task(
            "", total=self.plan.steps, completed=self.plan.start, epoch="-", speed="-", items=self.plan.items
        )
        self.live = Live(get_renderable=self._draw, console=self.terminal, refresh_per_second=4)
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def progress(self, step: int, epoch: float, metrics: Metrics) -> None:
        """Move the bar and show the terms."""
        self.terms = dict(metrics)
        speed = self.terms.pop("items_per_second", None)
        shown = f"{epoch:.1f}/{self.plan.epochs}" if self.plan.epochs else f"{epoch:.1f}"
        self.bar.update(self.task, completed=step, epoch=shown, speed=f"{speed:,.0f}" if speed else "-")

    def validated(self, step: int, metrics: Metrics, best: bool) -> None:
        """Show the last validation."""
        self.validation = f"{listed(metrics)}  at step {step:,}{', best so far' if best else ''}"

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table

        table = Table.grid(padding=(0, 3))
        players: dict[str, dict[str, float | None]] = {}
        for name, value in self.terms.items():
            player, _, term = name.rpartition("/")
            players.setdefault(player, {})[term] = value
        for player, terms in players.items():
            table.add_row(f"[bold]{player}[/bold]", listed(terms))
        if self.validation:
            table.add_row("[bold]validation[/bold]", self.validation)
        return Group(self.bar, table)


def listed(metrics: Mapping[str, Any]) -> str:
    """Return `loss 243.1  kl 25.3`, with the players' names only if there are several."""
    prefixes = {name.rpartition("/")[0] for name in metrics if "/" in name}
    short = {name.rpartition("/")[2] if len(prefixes) == 1 else name: value for name, value in metrics.items()}
    return "  ".join(
        f"{name.replace('_per_second', '/s').replace('_', ' ')} {number(value)}" for name, value in short.items()
    )


def number(value: float | None) -> str:
    """Return a number with four significant digits."""
    if value is None:
        return "not finite"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}"


def clock(seconds: float) -> str:
    """Return seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
