"""Kinds besides images and points train, validate, sample and resume: token sequences, and sounds as spectrograms."""

import math
import wave
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.nn import functional

from genlab import randomness
from genlab.contract import Batch, Model, Result, home
from genlab.data.dataset import Column, Dataset
from genlab.kinds import Spectrogram, Tokens
from genlab.models.vae import VAE
from genlab.networks.mlp import Mlp
from genlab.training import checkpoint
from genlab.training.journal import read
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Outcome, Trainer
from tests.fixtures.toys import toy_splits

WORDS = ("abba", "cab", "bac", "a")
LETTERS = Tokens(("_", "a", "b", "c"), 5)


def words(count: int = 40) -> Dataset:
    """Make a data set of four words, one after the other."""
    rows = LETTERS.encode([WORDS[number % len(WORDS)] for number in range(count)])
    return Dataset({"x": Column(LETTERS, rows)}, toy_splits(count))


class Speller(Model):
    """An independent categorical distribution for each position, given a code with noise."""

    def __init__(self, *, x: Tokens, latent_dim: int = 3) -> None:
        super().__init__()
        self.shape, self.latent_dim = (x.length, len(x.vocabulary)), latent_dim
        self.encoder = nn.Linear(math.prod(self.shape), latent_dim)
        self.decoder = nn.Linear(latent_dim, math.prod(self.shape))

    def loss(self, batch: Batch) -> Result:
        codes = self.encode(batch)
        noisy = codes + 0.1 * randomness.normal(*codes.shape, device=codes.device)
        nats = functional.cross_entropy(self.logits(noisy).transpose(1, 2), batch["x"], reduction="none").sum(1).mean()
        return Result(nats + 0.1 * codes.square().sum(1).mean(), {"nats": nats})

    def logits(self, codes: Tensor) -> Tensor:
        logits: Tensor = self.decoder(codes)
        return logits.view(-1, *self.shape)

    def encode(self, batch: Batch) -> Tensor:
        codes: Tensor = self.encoder(functional.one_hot(batch["x"], self.shape[1]).flatten(1).float())
        return codes

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        return self.logits(codes).argmax(2)

    def reconstruct(self, batch: Batch) -> Tensor:
        return self.decode(self.encode(batch))

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        return self.decode(randomness.normal(count, self.latent_dim, device=home(self), generator=generator))


def spell(folder: Path, steps: int) -> Outcome:
    """Train a speller for so many steps in total."""
    torch.manual_seed(1)
    settings = TrainerSettings(batch_size=8, steps=steps, validate_every=5, checkpoint_every=5, log_every=5)
    players = {"model": PlayerSettings(lr=0.05, ema=0.9)}
    return Trainer(Speller(x=LETTERS), words(), settings, players).fit(folder)


def shown(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def newest(folder: Path) -> checkpoint.Checkpoint:
    found = checkpoint.newest(folder / "checkpoints")
    assert found
    return found


def test_token_sequences_train_and_their_previews_are_texts(tmp_path: Path) -> None:
    outcome = spell(tmp_path, 200)
    first = next(line for line in read(tmp_path) if line["split"] == "validation")
    assert outcome.validation["loss"] < 0.5 * first["loss"]
    assert outcome.test.keys() == {"loss", "nats"}
    text = (tmp_path / "texts" / "reconstructions-0000000200.txt").read_text()
    data, reconstructions = text.rstrip("\n").split("\n\n")
    assert data.splitlines() == ["data:", *(WORDS[number % 4] for number in range(8))]
    assert reconstructions.splitlines() == ["reconstruction:", *data.splitlines()[1:]]
    title, samples = (tmp_path / "texts" / "samples-0000000200.txt").read_text().split("\n", 1)
    assert title == "samples, seed 0:"
    assert set(samples) <= set("abc\n")
    assert set(WORDS) & set(samples.split())
    assert not (tmp_path / "images").exists()
    assert not (tmp_path / "sounds").exists()


def test_tensorboard_shows_the_texts(tmp_path: Path) -> None:
    spell(tmp_path, 10)
    events = shown(tmp_path)
    for name in ("reconstructions", "samples", "interpolations"):
        for event, step in zip(events.Tensors(f"{name}/text_summary"), (5, 10), strict=True):
            assert event.step == step
            written = (tmp_path / "texts" / f"{name}-{step:010d}.txt").read_text()
            read_back = event.tensor_proto.string_val[0].decode()
            assert [line.strip() for line in read_back.splitlines()] == written.splitlines()


def test_a_training_on_token_sequences_resumes_bit_for_bit(tmp_path: Path) -> None:
    spell(tmp_path / "whole", 10)
    spell(tmp_path / "parts", 5)
    spell(tmp_path / "parts", 10)
    ours, theirs = newest(tmp_path / "whole").tensors, newest(tmp_path / "parts").tensors
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    texts = [
        {path.name: path.read_text() for path in (tmp_path / run / "texts").iterdir()} for run in ("whole", "parts")
    ]
    assert texts[0] == texts[1]


TONES = Spectrogram(1, 16, 16, rate=4000, hop=64, window=128)


def tones(count: int = 40) -> Dataset:
    """Make a data set of spectrograms of tones between 200 and 1400 Hz."""
    seconds = torch.arange(TONES.hop * (TONES.width - 1)) / TONES.rate
    hertz = torch.linspace(200, 1400, count).unsqueeze(1)
    pictures = TONES.picture(0.5 * torch.sin(2 * math.pi * hertz * seconds))
    return Dataset({"x": Column(TONES, pictures.mul(255).round().to(torch.uint8))}, toy_splits(count))


def test_a_vae_of_images_trains_on_spectrograms_and_its_previews_can_be_seen_and_heard(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = VAE(x=TONES, network=Mlp(hidden=[32]), latent_dim=2)
    settings = TrainerSettings(batch_size=8, steps=40, validate_every=20)
    outcome = Trainer(model, tones(), settings, {"model": PlayerSettings(lr=0.01)}).fit(tmp_path)
    first = next(line for line in read(tmp_path) if line["split"] == "validation")
    assert outcome.validation["loss"] < first["loss"]
    names = {"reconstructions", "samples", "interpolations"}
    events = shown(tmp_path)
    for name in names:
        for step in (20, 40):
            assert (tmp_path / "images" / f"{name}-{step:010d}.png").exists()
        with wave.open(str(tmp_path / "sounds" / f"{name}-0000000040.wav"), "rb") as file:
            assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (4000, 2, 1)
            # Four sounds with a pause after each.
            assert file.getnframes() == 4 * (64 * 15 + 800)
            assert any(file.readframes(file.getnframes()))
        assert [event.step for event in events.Images(name)] == [20, 40]
        sounds = events.Audio(name)
        assert [event.step for event in sounds] == [20, 40]
        assert sounds[1].encoded_audio_string == (tmp_path / "sounds" / f"{name}-0000000040.wav").read_bytes()
    assert not (tmp_path / "texts").exists()
