"""Where images come from, by the name of their class in a YAML."""

from collections.abc import Callable

from genlab.data.built_in import digits, fashion_mini
from genlab.data.downloaded import fashion_mnist, mnist
from genlab.data.drawn.faces import faces
from genlab.data.drawn.shapes import shapes
from genlab.data.gaussian import gaussian
from genlab.data.images import Images

SOURCES: dict[str, Callable[..., Images]] = {
    "fashion-mini": fashion_mini,
    "digits": digits,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "shapes": shapes,
    "faces": faces,
    "gaussian": gaussian,
}
