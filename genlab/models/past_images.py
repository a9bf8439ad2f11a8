"""A store of generated images, so that a discriminator does not forget what a generator made earlier."""

import torch
from torch import Tensor, nn

from genlab import distributed, randomness
from genlab.kinds import Image


class PastImages(nn.Module):
    """At most `size` images; new ones are exchanged for stored ones at random (Shrivastava et al. 2017).

    As in CycleGAN, an image is stored until the store is full. From then on an image is exchanged with probability
    1/2: a stored one is judged in its place, and the new one is stored there. The images of a batch are taken one
    after the other, so an image can be exchanged for one of its own batch. The images and their number are buffers, so
    a checkpoint keeps them.
    """

    images: Tensor
    stored: Tensor

    def __init__(self, kind: Image, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *kind.shape))
        self.register_buffer("stored", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def exchanged(self, images: Tensor, counted: Tensor) -> Tensor:
        """Return an image in place of each image; those that are not `counted` are neither stored nor exchanged.

        Several processes have one store: it takes the images of all of them, in order.
        """
        if not self.size:
            return images
        draws = randomness.uniform(len(images), 2, device=images.device)
        every, counted, draws = (distributed.gathered(values) for values in (images, counted, draws))
        # A store that has once held an infinite number would give it back for ever.
        counted = counted & every.isfinite().all()
        exchange, place, used = self._decided(counted, draws)
        # The number of the last image before each one that took its place; -1 if the store has had it since earlier.
        count = len(every)
        numbers = torch.arange(count, device=images.device)
        writes = used.unsqueeze(0) & (place.unsqueeze(0) == place.unsqueeze(1)) & (numbers < numbers.unsqueeze(1))
        earlier = torch.where(writes, numbers, -1).amax(1)
        found = torch.where(_wide(earlier >= 0), every[earlier.clamp_min(0)], self.images[place].to(every.dtype))
        found = torch.where(_wide(exchange), found, every)
        self._keep(every, place, used)
        ours = distributed.rows(count) if distributed.parts() > 1 else slice(None)
        return found[ours]

    def _decided(self, counted: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return for each image whether it is exchanged, its place in the store, and whether it is stored there."""
        free = self.stored + counted.cumsum(0) - 1
        filling = counted & (free < self.size)
        exchange = counted & ~filling & (draws[:, 0] < 0.5)
        drawn = (draws[:, 1] * self.size).long().clamp(max=self.size - 1)
        return exchange, torch.where(filling, free, drawn), filling | exchange

    def _keep(self, images: Tensor, place: Tensor, used: Tensor) -> None:
        """Store the images; of several for one place, the last one stays."""
        places, numbers = torch.arange(self.size, device=images.device), torch.arange(len(images), device=images.device)
        last = torch.where(used & (place == places.unsqueeze(1)), numbers, -1).amax(1)
        self.images.copy_(torch.where(_wide(last >= 0), images[last.clamp_min(0)].to(self.images.dtype), self.images))
        self.stored.copy_((self.stored + used.sum()).clamp(max=self.size))


def _wide(flags: Tensor) -> Tensor:
    return flags.view(-1, 1, 1, 1)
