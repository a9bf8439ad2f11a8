"""The device, the precision and the compiler of a turn, each with a fallback if it is not available."""

from pathlib import Path

import pytest
import torch
from torch import nn

from genlab.contract import Batch, Result, Turn
from genlab.registry import ConfigError
from genlab.training import engine
from genlab.training.engine import Engine, choose_device, devices
from genlab.training.settings import TrainerSettings
from tests.fixtures.program import TINY, genlab
from tests.fixtures.tiny import batch, tiny_vae

CPU = torch.device("cpu")


def settings(**chosen: object) -> TrainerSettings:
    return TrainerSettings(steps=1, **chosen)  # type: ignore[arg-type]


def test_auto_is_the_first_device_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(choose_device("auto")) == devices()[0]
    monkeypatch.setattr(engine, "devices", lambda: ["cuda:0", "cuda:1", "cpu"])
    assert [str(choose_device(name)) for name in ("auto", "cuda", "cuda:1", "cpu")] == [
        "cuda:0",
        "cuda:0",
        "cuda:1",
        "cpu",
    ]
    with pytest.raises(ConfigError, match=r"There is no device 'cuda:2' here. Available: cuda:0, cuda:1, cpu"):
        choose_device("cuda:2")


def test_on_a_cpu_nothing_is_compiled_or_halved_unless_asked() -> None:
    found = Engine(CPU, settings(), tiny_vae()).describe()
    assert (found["device"], found["precision"], found["compiled"]) == ("cpu", "float32", "no")
    assert Engine(CPU, settings(precision="bfloat16"), tiny_vae()).describe()["precision"] == "bfloat16"


def test_convolutional_models_have_channels_last_and_give_the_same() -> None:
    convolution = nn.Conv2d(1, 4, 3)
    model = nn.Sequential(convolution)
    images = batch()["x"].repeat(1, 1, 4, 4)
    expected = model(images)
    run = Engine(CPU, settings(), model)
    arranged = run.arrange({"x": images.clone()})["x"]
    assert run.describe()["memory"] == "channels last"
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(model(arranged), expected, atol=1e-6)
    assert Engine(CPU, settings(channels_last=False), nn.Sequential(nn.Conv2d(1, 4, 3))).channels_last is False


def test_only_images_are_arranged_and_the_batch_stays_as_it_is() -> None:
    run = Engine(CPU, settings(channels_last=True), nn.Linear(1, 1))
    given = {
        "x": torch.rand(2, 3, 4, 4),
        "points": torch.rand(2, 3),
        "bytes": torch.ones(2, 3, 4, 4, dtype=torch.uint8),
    }
    before = dict(given)
    arranged = run.arrange(given)
    assert given == before
    assert arranged["x"].is_contiguous(memory_format=torch.channels_last)
    assert not given["x"].is_contiguous(memory_format=torch.channels_last)
    assert arranged["points"] is given["points"]
    assert arranged["bytes"] is given["bytes"]


def test_without_a_compiler_a_run_says_so_and_continues(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(function: object) -> object:
        raise RuntimeError("No working C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", broken)
    done = genlab(tmp_path, "train", *TINY, "trainer.compile=true", "run=mine")
    assert done.returncode == 0
    assert "torch.compile does not work here, so nothing is compiled: No working C++ compiler found\n" in done.stdout


def test_a_turn_is_compiled_once_and_an_eager_turn_never(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []

    def note(function: object) -> object:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", note)
    model = tiny_vae()
    run = Engine(CPU, settings(compile=True), model)
    compiled.clear()  # without the engine's own trial
    for _ in range(3):
        run.result(Turn("model", model.loss), batch())
        run.result(Turn("model", model.validate, eager=True), batch())
    assert compiled == [model.loss]


@pytest.mark.slow
def test_a_compiled_loss_gives_what_the_eager_one_gives() -> None:
    model = tiny_vae()
    eager, compiled = (Engine(CPU, settings(compile=choice), model) for choice in (False, True))
    turn = Turn("model", model.loss)
    first, second = (
        torch.stack([run.result(turn, batch()).loss for _ in range(200)]).mean() for run in (eager, compiled)
    )
    # Each draws noise of its own: the means of 200 draws agree within chance.
    assert torch.allclose(first, second, rtol=0.05)


@pytest.mark.slow
def test_a_compiled_loss_hands_on_and_shows_tensors() -> None:
    layer = nn.Linear(3, 1)

    def loss(batch: Batch) -> Result:
        scores = layer(batch["x"])
        return Result(scores.mean(), {"sum": scores.sum()}, {"scores": scores})

    items = {"x": torch.ones(4, 3)}
    results = [
        Engine(CPU, settings(compile=choice), layer).result(Turn("model", loss), items) for choice in (False, True)
    ]
    for eager, compiled in (
        (results[0].loss, results[1].loss),
        (results[0].shown["sum"], results[1].shown["sum"]),
        (results[0].handed_on["scores"], results[1].handed_on["scores"]),
    ):
        assert torch.allclose(eager, compiled)
    results[1].loss.backward()
    assert layer.weight.grad is not None
