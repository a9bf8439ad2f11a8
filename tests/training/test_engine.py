"""The device, the precision and the compiler of a turn, each with a fallback if it is not available."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from genlab.contract import Batch, Result, Turn
from genlab.kinds import Image
from genlab.models.gan import GAN
from genlab.networks.dcgan import Dcgan
from genlab.registry import ConfigError
from genlab.training import checkpoint, compilation, engine
from genlab.training.compilation import Compiler, pays
from genlab.training.engine import Engine, choose_device, devices, has_bfloat16, set_deterministic, set_tf32
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures.program import TINY, genlab
from tests.fixtures.tiny import batch, tiny_vae
from tests.fixtures.toys import toy_images

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
    run = Engine(CPU, settings(), tiny_vae())
    run.expect(steps=10)
    found = run.describe()
    assert (found["device"], found["precision"], found["compiled"]) == ("cpu", "float32", "no")
    assert found["deterministic"] == "yes"
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

    def note(function: object, **_: object) -> object:
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


def test_ten_runs_in_one_process_are_all_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    use_quick_backend(monkeypatch)
    models = [tiny_vae(beta=1.0 + number) for number in range(10)]
    for model in models:
        run = Engine(CPU, settings(compile=True), model)
        run.result(Turn("model", model.loss), batch())
        assert run.describe()["compiled"] == "yes"
        assert run.unsaid() == []


def use_quick_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile without a C++ compiler, which takes seconds."""
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda loss, options=None, **how: compiler(loss, backend="eager", **how))


def test_a_compiled_loss_gives_what_the_eager_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    use_quick_backend(monkeypatch)
    model = tiny_vae()
    losses = []
    for choice in (False, True):
        torch.manual_seed(0)
        losses.append(Engine(CPU, settings(compile=choice), model).result(Turn("model", model.loss), batch()).loss)
    assert torch.equal(*losses)


def test_a_loss_that_is_not_one_graph_is_compiled_in_pieces_and_the_run_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_quick_backend(monkeypatch)

    def broken(batch: Batch) -> Result:
        total = batch["x"].sum()
        torch._dynamo.graph_break()
        return Result(total * 2)

    run = Engine(CPU, settings(compile=True), nn.Linear(1, 1))
    assert run.result(Turn("model", broken), {"x": torch.ones(3)}).loss == 6
    assert run.describe()["compiled"] == "in part"
    (said,) = run.unsaid()
    assert said.startswith("broken is compiled in pieces, not as one graph: ")
    assert run.unsaid() == []


def test_a_loss_that_the_compiler_cannot_handle_runs_as_it_is_and_the_run_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(graph: object, inputs: object) -> object:
        raise RuntimeError("no such kernel")

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda loss, options=None, **how: compiler(loss, backend=failing, **how))
    monkeypatch.setattr(Compiler, "works", lambda _: True)
    model = tiny_vae()
    run = Engine(CPU, settings(compile=True), model)
    assert run.result(Turn("model", model.loss), batch()).loss.isfinite()
    assert run.describe()["compiled"] == "no"
    (said,) = run.unsaid()
    assert said.startswith("loss is not compiled: ")
    assert "no such kernel" in said


def test_an_error_of_the_loss_itself_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    use_quick_backend(monkeypatch)
    model = tiny_vae()
    run = Engine(CPU, settings(compile=True), model)
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        run.result(Turn("model", model.loss), {"x": torch.rand(2, 1, 3, 3)})


@pytest.mark.parametrize(
    ("eager", "compiled", "left", "chosen", "tried"),
    [
        (1.0, 0.5, 100, False, False),  # the training is short
        (1.0, 0.5, 1000, True, True),
        (1.0, 0.99, 1000, False, True),
        (1.0, 1.5, 1000, False, True),
    ],
)
def test_a_cpu_compiles_if_the_steps_left_repay_it(
    eager: float, compiled: float, left: int, chosen: bool, tried: bool
) -> None:
    now, seen = [0.0], []

    def step(compiles: bool) -> None:
        seen.append(compiles)
        now[0] += compiled if compiles else eager

    found, said = pays(step, lambda: True, left, lambda: now[0])
    assert found == chosen
    assert (True in seen) == tried
    assert bool(said) == tried
    assert pays(step, lambda: False, left, lambda: now[0]) == (False, "")


def test_the_trial_of_compilation_changes_nothing_and_its_choice_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_quick_backend(monkeypatch)
    monkeypatch.setattr(engine, "_FEW", 1)
    trained = {}
    for trial in (False, True):
        monkeypatch.setattr(compilation, "WORTH_TRYING", 0.0 if trial else 1e9)
        monkeypatch.setattr(compilation, "_SHARE", 1e9)
        trainer = dcgan_trainer(4)
        trainer.fit(tmp_path / str(trial))
        assert trainer.engine.compile is trial
        trained[trial] = trainer.model.state_dict()
        found = checkpoint.newest(tmp_path / str(trial) / "checkpoints")
        assert found
        assert found.facts["engine"] == {"compiled": trial}
        # A resumed run tries nothing, and takes over the choice.
        monkeypatch.setattr(engine, "pays", lambda *_: pytest.fail("tried again"))
        again = dcgan_trainer(6)
        again.fit(tmp_path / str(trial))
        assert again.engine.compile is trial
        monkeypatch.setattr(engine, "pays", compilation.pays)
    assert all(torch.equal(value, trained[False][name]) for name, value in trained[True].items())


def dcgan_trainer(steps: int) -> Trainer:
    """Return a trainer of a GAN with batch normalisation, whose running statistics move in a trial."""
    torch.manual_seed(0)
    network = Dcgan(width=8, most=8)
    model = GAN(x=Image(1, 28, 28), network=network, latent_dim=4)
    players = dict.fromkeys(model.players(), PlayerSettings())
    return Trainer(model, toy_images(side=28), TrainerSettings(batch_size=4, steps=steps), players)


def test_a_checkpoint_of_an_earlier_version_compiles_nothing_on_a_cpu() -> None:
    run = Engine(CPU, settings(), tiny_vae())
    run.take_over({})
    assert run.compile is False


def test_tf32_is_set_for_products_and_convolutions_alike() -> None:
    backends: Any = torch.backends
    parts = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
    try:
        for on, name in ((True, "tf32"), (False, "ieee")):
            set_tf32(on)
            assert [part.fp32_precision for part in parts] == [name] * 3
            assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is on
    finally:
        torch.backends.cudnn.allow_tf32 = True


@pytest.mark.parametrize(("choice", "mode"), [(False, 0), ("auto", 1), (True, 2)])
def test_deterministic_is_strict_lenient_or_off(choice: bool, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        set_deterministic(choice)
        assert torch.get_deterministic_debug_mode() == mode
        assert torch.backends.cudnn.deterministic == bool(choice)
        assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == bool(choice)
    finally:
        set_deterministic(False)


def test_a_gpu_that_imitates_bfloat16_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not has_bfloat16(torch.device("cuda:0"))
    assert not has_bfloat16(CPU)


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
