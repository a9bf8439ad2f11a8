"""Coordinates as features: points are compared as they are."""

from torch import Tensor

from genlab.kinds import Points
from genlab.networks.extractor import Extractor


class Coordinates(Extractor):
    """Points as they are."""

    has_vectors = True

    def __init__(self, *, dimensions: int) -> None:
        description = f"the points themselves, in {dimensions} dimensions"
        super().__init__("coordinates", description=description, code="coordinates")

    def rows(self, items: Tensor) -> Tensor:
        """Return the points."""
        return items


def coordinates(*, x: Points) -> Coordinates:
    """Create the features of points."""
    return Coordinates(dimensions=x.dimensions)
