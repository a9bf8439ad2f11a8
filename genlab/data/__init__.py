"""Data sources, by the name of their class in a YAML file."""

from collections.abc import Callable
from typing import Any

from genlab.data.dataset import Dataset
from genlab.data.files.offer import Offer
from genlab.data.sources import celeba, downloaded, dsprites, photographs
from genlab.data.sources.built_in import digits, fashion_mini
from genlab.data.sources.domains import domains
from genlab.data.sources.drawn.faces import faces
from genlab.data.sources.drawn.shapes import shapes
from genlab.data.sources.folder import folder
from genlab.data.sources.gaussian import gaussian
from genlab.data.sources.pairs import pairs
from genlab.data.sources.parquet import parquet
from genlab.data.sources.photos import photos, photos_mini

SOURCES: dict[str, Callable[..., Dataset]] = {
    "fashion-mini": fashion_mini,
    "digits": digits,
    "shapes": shapes,
    "faces": faces,
    "gaussian": gaussian,
    "mnist": downloaded.mnist,
    "fashion-mnist": downloaded.fashion_mnist,
    "kmnist": downloaded.kmnist,
    "emnist": downloaded.emnist,
    "cifar10": photographs.cifar10,
    "cifar100": photographs.cifar100,
    "svhn": photographs.svhn,
    "stl10": photographs.stl10,
    "celeba": celeba.celeba,
    "dsprites": dsprites.dsprites,
    "photos": photos,
    "photos-mini": photos_mini,
    "folder": folder,
    "pairs": pairs,
    "domains": domains,
    "parquet": parquet,
}
CHARACTERS = frozenset({"digits", "mnist", "kmnist", "emnist", "svhn"})
"""Sources of written characters: mirrored, a character is another one or none."""
OFFERS: dict[str, Offer[Any]] = {
    "mnist": downloaded.MNIST,
    "fashion-mnist": downloaded.FASHION_MNIST,
    "kmnist": downloaded.KMNIST,
    "emnist": downloaded.EMNIST,
    "cifar10": photographs.CIFAR10,
    "cifar100": photographs.CIFAR100,
    "svhn": photographs.SVHN,
    "stl10": photographs.STL10,
    "celeba": celeba.CELEBA,
    "dsprites": dsprites.DSPRITES,
}
"""Sources whose data others publish: size, licence and whether the files are here."""
