"""Features of the images' own: those of a small network that has learnt which way up each of them stands."""

import inspect
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.contract import Batch, Model, Terms
from genlab.data.dataset import Images
from genlab.extractors.features.layers import check, colour, joined
from genlab.extractors.trained import Recipe
from genlab.networks.extractor import Features, freeze
from genlab.registry import ConfigError
from genlab.training.console import Console
from genlab.training.settings import LoadingSettings, PlayerSettings, TrainerSettings

SEED = 0
BATCH, STEPS, SIDE, HELD_OUT = 24, 400, 64, 512
WIDTHS = (24, 40, 64, 96)
PLAYER = PlayerSettings(optimizer="adamw", rate=3e-3, weight_decay=0.02, schedule="cosine", warmup=50)


class Stage(nn.Module):
    """Half the size, seen twice; what comes out is normalised and not yet rectified."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(before, after, 3, 2, 1, bias=False)
        self.look = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm_half, self.norm_look = nn.BatchNorm2d(after), nn.BatchNorm2d(after)

    def forward(self, images: Tensor) -> Tensor:
        """Convolve and normalise, twice."""
        seen: Tensor = self.norm_look(self.look(functional.relu(self.norm_half(self.halve(images)))))
        return seen


class Rotation(Model):
    """Says which of four ways an image was turned, for which it has to see what is in it (Gidaris et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        before = (channels, *WIDTHS)
        self.stages = nn.ModuleList(Stage(*pair) for pair in zip(before, WIDTHS, strict=False))
        self.head = nn.Linear(WIDTHS[-1], 4)

    def depths(self, images: Tensor, count: int = len(WIDTHS)) -> list[Tensor]:
        """What the first stages give, at strides 2, 4, 8 and 16."""
        found = list[Tensor]()
        for stage in list(self.stages)[:count]:
            found.append(stage(functional.relu(found[-1]) if found else images - 0.5))
        return found

    def loss(self, batch: Batch) -> Terms:
        """Cross entropy, and the share of right answers, of a square of each image in all four ways."""
        square = self._square(batch["image"])
        turned = torch.cat([square.rot90(quarters, (2, 3)) for quarters in range(4)])
        truth = torch.arange(4, device=square.device).repeat_interleave(len(square))
        scores: Tensor = self.head(functional.relu(self.depths(turned)[-1]).mean((2, 3)))
        right = scores.argmax(1) == truth
        return {"loss": functional.cross_entropy(scores, truth), "accuracy": right.float().mean()}

    def _square(self, images: Tensor) -> Tensor:
        """The largest square in the middle, or any while it learns, shrunk to SIDE where it is larger."""
        most = min(images.shape[2:])
        side = int(torch.randint(min(SIDE, most), most + 1, ())) if self.training else most
        rooms = [size - side for size in images.shape[2:]]
        down, right = (int(torch.randint(room + 1, ())) if self.training else room // 2 for room in rooms)
        square = images[:, :, down : down + side, right : right + side]
        if side > SIDE:
            square = functional.interpolate(square, (SIDE, SIDE), mode="bilinear", antialias=True)
        return square


# What the weights mean, as it stood when it was imported: a change to it is another network.
LAYERS = "".join(inspect.getsource(part) for part in (Stage, Rotation))


class RotationFeatures(Features):
    """The first three stages of a network that has learnt to tell rotations."""

    def __init__(self, network: Rotation, *, channels: int, factor: float) -> None:
        super().__init__("self", factor)
        self.network, self.channels = network, channels
        freeze(self)

    def forward(self, images: Tensor) -> Tensor:
        """Strides 2 and 4, where the detail is."""
        return joined(*self.network.depths(self._fitted(images), 2))

    def layers(self, images: Tensor) -> list[Tensor]:
        """Strides 2, 4 and 8."""
        return self.network.depths(self._fitted(images), 3)

    def _fitted(self, images: Tensor) -> Tensor:
        if self.channels == 1 and images.shape[1] != 1:
            raise ConfigError("These features were learnt from grey images, and these are in colour.")
        return images if self.channels == 1 else colour(images)


def rotation(
    *,
    factor: float = 0.3,
    images: Images,
    device: torch.device | None = None,
    console: Console | None = None,
) -> Features:
    """Trained once on the training images, and found again in the cache folder from then on."""
    check(images)
    if not len(images.splits["train"]):
        raise ConfigError("The features 'self' are learnt from training images, and this data has none.")
    recipe, console = recipe_of(images), console or Console()
    network = recipe.trained(device or torch.device("cpu"), console)
    told, whose = recipe.accuracy(network), "held-out images"
    if told is None:
        told, whose = recipe.noted("train", "model/accuracy"), "the training images"
    share = f"{told:.0%} of the rotations of {whose}" if told is not None else "an unknown share of rotations"
    console.say(f"The features 'self' are of a network that tells {share}; 25% is chance.")
    return RotationFeatures(network, channels=images.shape.channels, factor=factor)


def recipe_of(images: Images) -> Recipe[Rotation]:
    """A minute's training, whatever the images: of large ones a square at a time."""
    held_out = images.splits["validation"] if len(images.splits["validation"]) else images.splits["test"]
    splits = {"train": images.splits["train"], "validation": held_out[:HELD_OUT], "test": held_out[:0]}
    batch_size = min(BATCH, len(splits["train"]))
    return Recipe(
        name="rotation network",
        # The fingerprint stays that of all. Photographs are looked at by cells, and of these some may be left out.
        images=replace(images, splits=splits, grid=None),
        untrained=lambda: Rotation(images.shape.channels),
        layers=(tuple(images.shape), SIDE, WIDTHS, LAYERS),
        settings=TrainerSettings(
            batch_size=batch_size, steps=STEPS, checkpoint_every=100, precision="float32", compile=False
        ),
        loading=LoadingSettings(flip=True),
        player=PLAYER,
        seed=SEED,
    )
