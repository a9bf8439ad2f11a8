"""Progress of a training as text."""

import io
from pathlib import Path

from rich.console import Console as Terminal

from genlab.training.console import Console, Plan, clock, listed, number


def test_metrics_are_listed_with_player_names_only_if_there_are_several() -> None:
    assert listed({"model/loss": 243.1, "model/kl": 25.3}) == "loss 243.1  kl 25.30"
    assert listed({"a/loss": 1.0, "b/loss": 2.0}) == "a/loss 1.000  b/loss 2.000"
    assert listed({"loss": None, "gradient_norm": 0.5}) == "loss not finite  gradient norm 0.5000"
    assert listed({"items_per_second": 12345.6}) == "items/s 12,346"


def test_numbers_have_four_digits_and_times_are_clocks() -> None:
    assert [number(value) for value in (0.0, 0.00012345, 999.94, 123456.0)] == [
        "0.000",
        "0.0001234",
        "999.9",
        "123,456",
    ]
    assert [clock(seconds) for seconds in (0.4, 61, 3661)] == ["0:00", "1:01", "1:01:01"]


def test_a_live_panel_counts_the_items_by_their_name(tmp_path: Path) -> None:
    screen = io.StringIO()
    terminal = Terminal(file=screen, force_terminal=True, width=200)
    console = Console(terminal, tmp_path / "log.txt")
    with console.watching(Plan(10, 0, None, "token sequences")):
        console.progress(5, 0.5, {"model/loss": 1.0, "items_per_second": 2000.0})
    assert "2,000 token sequences/s" in screen.getvalue()
    assert (tmp_path / "log.txt").read_text().startswith("step  5/10  epoch 0.5  loss 1.000  items/s 2,000")
