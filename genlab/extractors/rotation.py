"""Features of the data itself: a small network that is trained to tell by which angle an image is rotated."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.contract import Batch, Model, Result
from genlab.data.dataset import Dataset
from genlab.extractors.trained import Recipe
from genlab.kinds import Image
from genlab.networks.extractor import Extractor, check_channels, code_of, colour, freeze, joined
from genlab.registry import ConfigError
from genlab.training.console import Console
from genlab.training.settings import LoadingSettings, PlayerSettings, TrainerSettings

SEED = 0
BATCH, STEPS, SIDE, HELD_OUT = 24, 400, 64, 512
WIDTHS = (24, 40, 64, 96)
PLAYER = PlayerSettings(optimizer="adamw", lr=3e-3, weight_decay=0.02, schedule="cosine", warmup=50)


class Stage(nn.Module):
    """Two convolutions at half the size; the output is normalised and not yet rectified."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(before, after, 3, 2, 1, bias=False)
        self.refine = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm_half, self.norm_refine = nn.BatchNorm2d(after), nn.BatchNorm2d(after)

    def forward(self, images: Tensor) -> Tensor:
        """Convolve and normalise, twice."""
        output: Tensor = self.norm_refine(self.refine(functional.relu(self.norm_half(self.halve(images)))))
        return output


class Rotation(Model):
    """A classifier of four rotations, which must recognise what is in an image (Gidaris et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        before = (channels, *WIDTHS)
        self.stages = nn.ModuleList(Stage(*pair) for pair in zip(before, WIDTHS, strict=False))
        self.head = nn.Linear(WIDTHS[-1], 4)

    def depths(self, images: Tensor, count: int = len(WIDTHS)) -> list[Tensor]:
        """Return the outputs of the first stages, at strides 2, 4, 8 and 16."""
        found = list[Tensor]()
        for stage in list(self.stages)[:count]:
            found.append(stage(functional.relu(found[-1]) if found else images - 0.5))
        return found

    def loss(self, batch: Batch) -> Result:
        """Return the cross entropy over all four rotations of a square of each image, and the accuracy."""
        square = self._square(batch["x"])
        turned = torch.cat([square.rot90(quarters, (2, 3)) for quarters in range(4)])
        truth = torch.arange(4, device=square.device).repeat_interleave(len(square))
        scores: Tensor = self.head(functional.relu(self.depths(turned)[-1]).mean((2, 3)))
        right = scores.argmax(1) == truth
        return Result(functional.cross_entropy(scores, truth), {"accuracy": right.float().mean()})

    def _square(self, images: Tensor) -> Tensor:
        """Crop the largest square in the middle, or a random square in training; shrink it to SIDE if it is larger."""
        most = min(images.shape[2:])
        side = int(torch.randint(min(SIDE, most), most + 1, ())) if self.training else most
        rooms = [size - side for size in images.shape[2:]]
        down, right = (int(torch.randint(room + 1, ())) if self.training else room // 2 for room in rooms)
        square = images[:, :, down : down + side, right : right + side]
        if side > SIDE:
            square = functional.interpolate(square, (SIDE, SIDE), mode="bilinear", antialias=True)
        return square


CODE = code_of(Stage, Rotation)
"""The code at the time of import: other code with the same weights is another network."""


class RotationFeatures(Extractor):
    """The first three stages of a network that is trained to tell rotations."""

    has_maps = True

    def __init__(self, network: Rotation, *, channels: int, factor: float) -> None:
        description = "a network trained to tell rotations of the training images"
        super().__init__("self", factor=factor, description=description, code=CODE)
        self.network, self.channels = network, channels
        freeze(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return strides 2 and 4, which hold the detail."""
        return joined(*self.network.depths(self._fitted(images), 2))

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return strides 2, 4 and 8."""
        return self.network.depths(self._fitted(images), 3)

    def _fitted(self, images: Tensor) -> Tensor:
        if self.channels == 1 and images.shape[1] != 1:
            raise ConfigError("features 'self' are trained on grey images, got images in colour.")
        return images if self.channels == 1 else colour(images)


def rotation(
    *,
    factor: float = 0.3,
    x: Image,
    dataset: Dataset,
    device: torch.device | None = None,
    console: Console | None = None,
) -> RotationFeatures:
    """Create the extractor: train the network once on the training images, and load it from the cache afterwards."""
    check_channels(x)
    if not len(dataset.splits["train"]):
        raise ConfigError("The network is trained on training images, and this data has none.")
    recipe, console = recipe_of(x, dataset), console or Console()
    network = recipe.trained(device or torch.device("cpu"), console)
    accuracy, measured_on = recipe.accuracy(network), "held-out images"
    if accuracy is None:
        accuracy, measured_on = recipe.recorded("train", "model/accuracy"), "the training images"
    share = f"{accuracy:.0%} on {measured_on}" if accuracy is not None else "unknown"
    console.say(f"features 'self': the rotation network has an accuracy of {share}; chance is 25%.")
    return RotationFeatures(network, channels=x.channels, factor=factor)


def recipe_of(x: Image, dataset: Dataset) -> Recipe[Rotation]:
    """Return a recipe that takes about a minute for images of any size; large ones are cropped."""
    held_out = dataset.splits["validation"] if len(dataset.splits["validation"]) else dataset.splits["test"]
    splits = {"train": dataset.splits["train"], "validation": held_out[:HELD_OUT], "test": held_out[:0]}
    batch_size = min(BATCH, len(splits["train"]))
    return Recipe(
        name="rotation network",
        # A plain data set with the fingerprint of all the data: cells of photographs, not crops that span several.
        dataset=Dataset(dataset.columns, splits, dataset.fingerprint),
        untrained=lambda: Rotation(x.channels),
        layers=(x.shape, SIDE, WIDTHS, CODE),
        settings=TrainerSettings(
            batch_size=batch_size, steps=STEPS, checkpoint_every=100, precision="float32", compile=False
        ),
        loading=LoadingSettings(flip=True),
        player=PLAYER,
        seed=SEED,
    )
