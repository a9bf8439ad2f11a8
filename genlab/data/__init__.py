"""Where images come from, by the name of their class in a YAML."""

from collections.abc import Callable
from typing import Any

from genlab.data.dataset import Images
from genlab.data.files.offer import Offer
from genlab.data.sources import celeba, downloaded, dsprites, photographs
from genlab.data.sources.built_in import digits, fashion_mini
from genlab.data.sources.drawn.faces import faces
from genlab.data.sources.drawn.shapes import shapes
from genlab.data.sources.folder import folder
from genlab.data.sources.gaussian import gaussian
from genlab.data.sources.photos import photos, photos_mini

SOURCES: dict[str, Callable[..., Images]] = {
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
}
# What of these is published elsewhere: its size, its licence and whether it is here.
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
