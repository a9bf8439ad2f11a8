"""Where images come from, by the name of their class in a YAML."""

from collections.abc import Callable

from genlab.data.built_in import digits, fashion_mini
from genlab.data.downloaded import fashion_mnist, mnist
from genlab.data.folder import folder
from genlab.data.images import Images

SOURCES: dict[str, Callable[..., Images]] = {
    "fashion-mini": fashion_mini,
    "digits": digits,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "folder": folder,
}
