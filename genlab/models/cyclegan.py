"""Translation of images between two classes that is learned without pairs."""

import torch
from torch import Tensor

from genlab.contract import Batch, Model, Player, Result, Turn
from genlab.kinds import Classes, Image
from genlab.models.past_images import PastImages
from genlab.networks.network import at_least
from genlab.networks.patch import Patch, PatchDiscriminator, start_small
from genlab.networks.translator import Base, Translator
from genlab.networks.unet import Normalization
from genlab.registry import ConfigError


class CycleGAN(Model):
    """Two translators between two domains, which are two classes of the data (Zhu et al. 2017).

    An image that is translated there and back must be the same one: this keeps all that the domains have in common.
    """

    def __init__(
        self,
        *,
        x: Image,
        label: Classes,
        domains: tuple[int | str, int | str] = (0, 1),
        width: int = 64,
        blocks: int = 9,
        base: Base = "none",
        normalization: Normalization = "instance",
        discriminator_width: int = 64,
        patch: Patch = 70,
        adversarial: float = 1.0,
        cycle: float = 10.0,
        identity: float = 5.0,
        past: int = 50,
    ) -> None:
        super().__init__()
        at_least(0, adversarial=adversarial, cycle=cycle, identity=identity, past=past)
        self.source, self.domains = x, _numbers(label, domains)
        self.dealt = self.domains
        self.adversarial, self.cycle, self.identity = adversarial, cycle, identity
        self.to_second, self.to_first = (Translator(x, width, blocks, normalization, base) for _ in range(2))
        self.first, self.second = (PatchDiscriminator(x, discriminator_width, patch, normalization) for _ in range(2))
        start_small(self.first)
        start_small(self.second)
        # Discriminators also see images that the translators made earlier (Shrivastava et al. 2017).
        self.past_first, self.past_second = (PastImages(x, past) for _ in range(2))

    def players(self) -> dict[str, Player]:
        """Return the two translators, which are trained together, and the two discriminators."""
        return {"generator": (self.to_second, self.to_first), "discriminator": (self.first, self.second)}

    def turns(self, step: int) -> list[Turn]:
        """Return the generator's turn, which passes on its images, and the discriminator's."""
        return [Turn("generator", self.generator_loss), Turn("discriminator", self.discriminator_loss)]

    def generator_loss(self, batch: Batch) -> Result:
        """Return the adversarial, the cycle and the identity loss of both translators.

        All are means of absolute values or squares of images in [-1, 1], over the items of one domain.
        """
        first, second, weights = self._halves(batch)
        to_second, to_first = self.to_second(first), self.to_first(second)
        deceived = (1 - self.second(to_second)).square(), (1 - self.first(to_first)).square()
        again = (self.to_first(to_second) - first).abs(), (self.to_second(to_first) - second).abs()
        adversarial, cycle = _both(deceived, weights), _both(again, weights)
        loss, shown = self.adversarial * adversarial + self.cycle * cycle, {"adversarial": adversarial, "cycle": cycle}
        if self.identity:
            # Each translator is shown images of the domain that it translates to.
            same = (self.to_first(first) - first).abs(), (self.to_second(second) - second).abs()
            shown["identity"] = _both(same, weights)
            loss = loss + self.identity * shown["identity"]
        return Result(loss, shown, {"to_second": to_second.detach(), "to_first": to_first.detach()})

    def discriminator_loss(self, batch: Batch) -> Result:
        """Return half of the squared errors of both discriminators: 1 is right for real images, 0 for generated ones.

        In training, some of the generated images are earlier ones, and the stores of both domains are filled.
        """
        first, second, weights = self._halves(batch)
        if "to_first" in batch:
            to_first, to_second = batch["to_first"], batch["to_second"]
        else:
            to_first, to_second = self.to_first(second), self.to_second(first)
        if self.training:
            # A translated image of the second domain is judged beside real ones of the first.
            to_first = self.past_first.exchanged(to_first, weights[1] > 0)
            to_second = self.past_second.exchanged(to_second, weights[0] > 0)
        real = self.first(first), self.second(second)
        generated = self.second(to_second), self.first(to_first)
        right = _both(((1 - real[0]).square(), (1 - real[1]).square()), weights)
        wrong = _both((generated[0].square(), generated[1].square()), weights)
        count = (weights[0].mean() + weights[1].mean()).clamp_min(1e-6)
        accuracies = {
            "real_accuracy": _both((real[0] > 0.5, real[1] > 0.5), weights) / count,
            "generated_accuracy": _both((generated[0] < 0.5, generated[1] < 0.5), weights) / count,
        }
        return Result(0.5 * (right + wrong), accuracies)

    def validate(self, batch: Batch) -> Result:
        """Return the absolute error of images that are translated there and back, where white is 1."""
        to = self.other(batch["label"])
        there = self.translate(batch["x"], to)
        again = self.translate(there, batch["label"])
        same = self.translate(batch["x"], batch["label"])
        cycle, identity = (again - batch["x"]).abs().mean(), (same - batch["x"]).abs().mean()
        return Result(cycle, {"identity": identity})

    def translate(self, images: Tensor, to: Tensor | None = None) -> Tensor:
        """Translate images in [0, 1] into the domain of this class (default: the second one), one for each image."""
        inside = 2 * images - 1
        to_second, to_first = (self.to_second(inside) + 1) / 2, (self.to_first(inside) + 1) / 2
        if to is None:
            to = torch.full((len(images),), self.domains[1], device=images.device)
        return torch.where((to == self.domains[0]).view(-1, 1, 1, 1), to_first, to_second)

    def other(self, label: Tensor) -> Tensor:
        """Return the other domain of each image."""
        return torch.where(label == self.domains[1], self.domains[0], self.domains[1])

    def _halves(self, batch: Batch) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Return the images of the first and of the second domain in [-1, 1], and a weight for each of them.

        A batch has equally many of both (see `dealt`). If it has not, surplus images are left out, and images of the
        wrong class stand in for missing ones, with weight 0. So the shapes are always the same.
        """
        label, half = batch["label"], (len(batch["x"]) + 1) // 2
        in_first, in_second = label == self.domains[0], label == self.domains[1]
        order = (in_second.int() - in_first.int()).argsort(stable=True)
        places = order[:half], order[len(order) - half :]
        weights = in_first[places[0]].float(), in_second[places[1]].float()
        images = 2 * batch["x"] - 1
        return images[places[0]], images[places[1]], weights


def _both(values: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor]) -> Tensor:
    """Return the sum of the means over the images of each domain."""
    means = [each.float().flatten(1).mean(1) * weight for each, weight in zip(values, weights, strict=True)]
    return means[0].mean() + means[1].mean()


def _numbers(label: Classes, domains: tuple[int | str, int | str]) -> tuple[int, int]:
    """Return the numbers of the two classes that are the domains."""
    if len(label) < 2:
        raise ConfigError(f"CycleGAN translates between two classes, and the data has {len(label)}.")
    first, second = (label.number(name) for name in domains)
    if first == second:
        raise ConfigError(f"domains must be two different classes, got {label.names[first]!r} twice.")
    return first, second
