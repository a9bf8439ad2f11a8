"""Recorded moves: fixed inputs, a learning rate that follows its schedule, and a way out if recording fails.

A GPU's recording is stood in for by one that computes the move at each replay; tests/gpu/ compares the real one.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from genlab.training.graphs import Graphs, Moved
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures.tiny import tiny_vae
from tests.fixtures.toys import toy_images


def trainer_of(graphs: Graphs | None, **settings: object) -> Trainer:
    player = PlayerSettings(schedule="cosine", warmup=2, ema=0.5, **settings)  # type: ignore[arg-type]
    trainer = Trainer(tiny_vae(), toy_images(), TrainerSettings(batch_size=4, steps=12, log_every=3), {"model": player})
    trainer.graphs = graphs
    return trainer


class Recorder:
    """Computes the move at each replay, from the inputs that were there when it was recorded."""

    def __init__(self) -> None:
        self.replays = 0

    def __call__(self, run: Callable[[], Moved], device: torch.device) -> tuple[Callable[[], None], Moved]:
        moved = Moved({name: torch.zeros(()) for name in TERMS}, torch.zeros((), dtype=torch.bool), {})

        def replay() -> None:
            self.replays += 1
            found = run()
            for name, value in found.shown.items():
                moved.shown[name].copy_(value)
            moved.finite.copy_(found.finite)

        return replay, moved


TERMS = ("loss", "reconstruction", "kl", "active_share", "gradient_norm")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop"])
def test_recorded_moves_give_what_eager_ones_give(tmp_path: Path, optimizer: str) -> None:
    recorder = Recorder()
    eager, recorded = (
        trainer_of(None, optimizer=optimizer),
        trainer_of(Graphs(torch.device("cpu"), recorder), optimizer=optimizer),
    )
    eager.fit(tmp_path / "eager")
    recorded.fit(tmp_path / "recorded")
    # The first three moves run as they are.
    assert recorder.replays == 9
    for name, value in eager.model.state_dict().items():
        torch.testing.assert_close(recorded.model.state_dict()[name], value)
    lines = [(tmp_path / kind / "metrics.jsonl").read_text().count("\n") for kind in ("eager", "recorded")]
    assert lines[0] == lines[1]


def test_a_move_that_cannot_be_recorded_runs_as_it_is_and_the_run_says_so(tmp_path: Path) -> None:
    def failing(run: Callable[[], Moved], device: torch.device) -> tuple[Callable[[], None], Moved]:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    graphs = Graphs(torch.device("cpu"), failing)
    eager, refused = trainer_of(None), trainer_of(graphs)
    eager.fit(tmp_path / "eager")
    said: list[str] = []
    graphs.unsaid, unsaid = (lambda: said.extend(found := unsaid()) or found), graphs.unsaid  # type: ignore[func-returns-value, method-assign]
    refused.fit(tmp_path / "refused")
    assert said == [
        "loss cannot be recorded as a CUDA graph, so it runs step by step: "
        "operation not permitted when stream is capturing"
    ]
    assert all(torch.equal(value, refused.model.state_dict()[name]) for name, value in eager.model.state_dict().items())
