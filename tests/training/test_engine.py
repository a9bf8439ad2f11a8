"""How a turn is run: the device, the precision and the compiler, each with a way out where it is not there."""

from pathlib import Path

import pytest
import torch
from torch import nn

from genlab.contract import Turn, interpolate
from genlab.registry import ConfigError
from genlab.training import engine
from genlab.training.engine import Engine, choose_device, devices
from genlab.training.settings import TrainerSettings
from tests.fixtures.program import TINY, genlab
from tests.fixtures.tiny import batch, tiny_vae

CPU = torch.device("cpu")


def settings(**chosen: object) -> TrainerSettings:
    return TrainerSettings(steps=1, **chosen)  # type: ignore[arg-type]


def test_auto_is_the_first_device_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(choose_device("auto")) == devices()[0]
    monkeypatch.setattr(engine, "devices", lambda: ["cuda:0", "cuda:1", "cpu"])
    assert [str(choose_device(name)) for name in ("auto", "cuda", "cuda:1", "cpu")] == [
        "cuda:0",
        "cuda:0",
        "cuda:1",
        "cpu",
    ]
    with pytest.raises(ConfigError, match=r"There is no device 'cuda:2' here. There is: cuda:0, cuda:1, cpu"):
        choose_device("cuda:2")


def test_on_a_cpu_nothing_is_compiled_or_halved_unless_asked() -> None:
    found = Engine(CPU, settings(), tiny_vae()).describe()
    assert (found["device"], found["precision"], found["compiled"]) == ("cpu", "float32", "no")
    assert Engine(CPU, settings(precision="bfloat16"), tiny_vae()).describe()["precision"] == "bfloat16"


def test_what_convolves_has_its_channels_last_and_gives_the_same() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3))
    images = batch()["image"].repeat(1, 1, 4, 4)
    expected = model(images)
    run = Engine(CPU, settings(), model)
    arranged = run.arrange({"image": images.repeat(1, 1, 1, 1)})["image"]
    assert run.describe()["memory"] == "channels last"
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(model(arranged), expected, atol=1e-6)
    assert Engine(CPU, settings(channels_last=False), nn.Sequential(nn.Conv2d(1, 4, 3))).channels_last is False


def test_without_a_compiler_it_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(function: object) -> object:
        raise RuntimeError("No working C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", broken)
    done = genlab(tmp_path, "train", *TINY, "trainer.compile=true", "run=mine")
    assert done.returncode == 0
    assert "torch.compile does not work here, so nothing is compiled: No working C++ compiler found\n" in done.stdout


def test_a_turn_is_compiled_once_and_one_that_is_eager_never(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []

    def note(function: object) -> object:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", note)
    model = tiny_vae()
    run = Engine(CPU, settings(compile=True), model)
    compiled.clear()  # the trial
    for _ in range(3):
        run.terms(Turn("model", model.loss), batch())
        run.terms(Turn("model", model.validate, eager=True), batch())
    assert compiled == [model.loss]


@pytest.mark.slow
def test_a_compiled_loss_is_the_eager_one() -> None:
    model = tiny_vae()
    eager, compiled = (Engine(CPU, settings(compile=choice), model) for choice in (False, True))
    turn = Turn("model", model.loss)
    values = [torch.stack([run.terms(turn, batch())["loss"] for _ in range(200)]).mean() for run in (eager, compiled)]
    # Each draws noise of its own: the means of 200 draws agree within what chance allows.
    assert torch.allclose(*values, rtol=0.05)


def test_what_is_between_two_codes_is_their_weighted_mean() -> None:
    start, end = torch.tensor([[0.0, 1.0], [2.0, 3.0]]), torch.tensor([[4.0, 1.0], [2.0, -1.0]])
    path = interpolate(start, end, 5)
    for step in range(5):
        share = step / 4
        assert torch.allclose(path[:, step], (1 - share) * start + share * end)
