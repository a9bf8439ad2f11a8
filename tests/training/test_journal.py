"""Exhibits of a run: files in its folder, shown in TensorBoard, and cut back when a run is resumed."""

import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from genlab.kinds import Exhibit, Sound
from genlab.training.journal import Journal

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
