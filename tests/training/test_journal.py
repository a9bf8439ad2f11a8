"""Exhibits of a run: files in its folder, shown in TensorBoard, and cut back when a run is resumed."""

import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.api_pb2 import GetExperimentRequest
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.get_experiment import Handler

from genlab.kinds import Exhibit, Sound
from genlab.training.journal import Journal, show_evaluation

TONE = Sound(torch.sin(torch.arange(800) / 8).mul(0.5), rate=8000)


def exhibit(text: str = "one\n  two\n") -> Exhibit:
    return Exhibit(picture=Pillow.new("L", (9, 6), 128), text=text, sound=TONE)


def journal(folder: Path, step: int = 0) -> Journal:
    return Journal(folder, step, {}, {})


def shown(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def files(folder: Path) -> list[str]:
    folders = ("images", "texts", "sounds")
    return [str(path.relative_to(folder)) for name in folders for path in sorted((folder / name).glob("*"))]


def test_an_exhibit_is_written_to_files_and_to_tensorboard(tmp_path: Path) -> None:
    written = journal(tmp_path)
    written.exhibit("samples", 7, exhibit())
    written.close()
    names = ["images/samples-0000000007.png", "texts/samples-0000000007.txt", "sounds/samples-0000000007.wav"]
    assert files(tmp_path) == names
    picture, text, sound = (tmp_path / name for name in names)
    assert text.read_text() == "one\n  two\n"
    events = shown(tmp_path)
    (image,) = events.Images("samples")
    assert (image.step, image.width, image.height, image.encoded_image_string) == (7, 9, 6, picture.read_bytes())
    (audio,) = events.Audio("samples")
    assert (audio.step, audio.encoded_audio_string, audio.content_type) == (7, sound.read_bytes(), "audio/wav")
    assert (audio.sample_rate, audio.length_frames) == (8000, 800)
    (words,) = events.Tensors("samples/text_summary")
    # Indented, so that TensorBoard keeps the line breaks and the spaces.
    assert words.tensor_proto.string_val[0].decode() == "    one\n      two\n"


def test_a_sound_is_16_bit_pcm(tmp_path: Path) -> None:
    loud = Sound(torch.tensor([0.0, 1.0, -1.0, 0.5, 2.0]), rate=16000)
    written = journal(tmp_path)
    written.exhibit("samples", 1, Exhibit(sound=loud))
    written.close()
    with wave.open(str(tmp_path / "sounds/samples-0000000001.wav"), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert samples.tolist() == [0, 32767, -32767, 16384, 32767]


def test_only_folders_that_are_needed_are_made(tmp_path: Path) -> None:
    written = journal(tmp_path)
    written.exhibit("samples", 1, Exhibit(text="words\n"))
    written.close()
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "tensorboard", "texts"}


def test_a_resumed_journal_is_cut_back_and_shows_the_rest_again(tmp_path: Path) -> None:
    written = journal(tmp_path)
    for step in (4, 8):
        written.exhibit("samples", step, exhibit(f"step {step}\n"))
    written.close()
    (tmp_path / "images" / "a-users-own.png").touch()
    journal(tmp_path, step=4).close()
    kept = ["images/a-users-own.png", "images/samples-0000000004.png", "texts/samples-0000000004.txt"]
    assert files(tmp_path) == [*kept, "sounds/samples-0000000004.wav"]
    events = shown(tmp_path)
    assert [event.step for event in events.Images("samples")] == [4]
    assert [event.step for event in events.Audio("samples")] == [4]
    assert [event.step for event in events.Tensors("samples/text_summary")] == [4]


def test_files_that_cannot_be_read_are_skipped_with_a_warning(tmp_path: Path) -> None:
    written = journal(tmp_path)
    for step in (1, 2):
        written.exhibit("samples", step, exhibit())
    written.close()
    bad = [
        tmp_path / "images/samples-0000000001.png",
        tmp_path / "texts/samples-0000000001.txt",
        tmp_path / "sounds/samples-0000000001.wav",
    ]
    for path, content in zip(bad, (b"\x89PNG", b"\xff\xfe", b""), strict=True):
        path.write_bytes(content)
    with pytest.warns(UserWarning, match="does not show these files; they cannot be read") as warned:
        journal(tmp_path, step=2).close()
    assert all(str(path) in str(warned[0].message) for path in bad)
    events = shown(tmp_path)
    assert [event.step for event in events.Images("samples")] == [2]
    assert [event.step for event in events.Audio("samples")] == [2]
    assert [event.step for event in events.Tensors("samples/text_summary")] == [2]


def hparams(folder: Path) -> tuple[list[tuple[str, bool]], list[str]]:
    """Return what TensorBoard's HParams tab shows of the runs in a folder: settings and metrics."""
    events = EventMultiplexer()
    events.AddRunsFromDirectory(str(folder))
    events.Reload()
    provider = MultiplexerDataProvider(events, str(folder))
    context = Context(TBContext(data_provider=provider))
    experiment = Handler(RequestContext(), context, "", GetExperimentRequest()).run()
    settings = [(info.name, info.differs) for info in experiment.hparam_infos]
    return settings, [info.name.tag for info in experiment.metric_infos]


def test_the_hparams_tab_shows_first_what_differs_between_the_runs_of_a_folder(tmp_path: Path) -> None:
    for run, beta, clip in (("one", 1.0, "not set"), ("two", 4.0, 1.0)):
        settings = {"data.crop": "none", "data.flip": False, "model.beta": beta, "model.clip": clip, "seed": 0}
        Journal(tmp_path / run, 0, {}, settings).close()
    shown, _ = hparams(tmp_path)
    assert shown[:2] == [("model.beta", True), ("model.clip", True)]
    assert {name for name, differs in shown if not differs} == {"data.crop", "data.flip", "seed"}


def test_metrics_of_an_evaluation_come_first_and_replace_those_of_an_earlier_one(tmp_path: Path) -> None:
    written = Journal(tmp_path / "run", 0, {}, {"seed": 0})
    written.write({"step": 5, "epoch": 1.0, "split": "validation", "loss": 3.0})
    written.close()
    show_evaluation(tmp_path / "run", 5, {"FD": 9.0, "KID": 1.0})
    show_evaluation(tmp_path / "run", 5, {"FD": 8.0})
    events = shown(tmp_path / "run")
    assert [(event.step, event.value) for event in events.Scalars("evaluation/FD")] == [(5, 8.0)]
    assert [(event.step, event.value) for event in events.Scalars("validation/loss")] == [(5, 3.0)]
    assert hparams(tmp_path)[1] == ["evaluation/FD", "validation/loss"]
    # A run that trains on has no evaluation of its new weights.
    Journal(tmp_path / "run", 5, {}, {"seed": 0}).close()
    assert hparams(tmp_path)[1] == ["validation/loss"]
