"""Generative adversarial networks: a generator generates items, a discriminator distinguishes them from real ones."""

import torch
from torch import Tensor
from torch.nn import functional

from genlab import randomness
from genlab.contract import Batch, Model, Player, Result, Turn, home
from genlab.kinds import Classes, Image, Points
from genlab.models.differentiable_augmentation import Change, changed
from genlab.models.losses.adversarial import LOSSES, LossName
from genlab.models.losses.gradient_penalty import gradient_penalty, squared_gradient
from genlab.networks import Network
from genlab.networks.condition import decoder_with_class, drawn, told, with_class
from genlab.networks.discriminator import Condition, Discriminator, DiscriminatorNormalization
from genlab.networks.network import at_least
from genlab.registry import ConfigError


class GAN(Model):
    """Generative adversarial network (Goodfellow et al. 2014).

    Its recipes: dcgan (Radford et al. 2016), wgan (Arjovsky et al. 2017), wgan-gp (Gulrajani et al. 2017), lsgan (Mao
    et al. 2017), sngan (Miyato et al. 2018), cgan (Mirza and Osindero 2014), acgan (Odena et al. 2017) and sagan (Zhang
    et al. 2019).
    """

    def __init__(
        self,
        *,
        x: Image | Points,
        label: Classes | None = None,
        network: Network,
        latent_dim: int,
        loss: LossName = "non-saturating",
        condition: Condition = "none",
        class_weight: float = 1.0,
        discriminator_turns: int = 1,
        discriminator_normalization: DiscriminatorNormalization = "batch",
        spectral_norm: bool = False,
        clip: float | None = None,
        penalty: float = 0.0,
        r1: float = 0.0,
        r1_every: int = 1,
        label_smoothing: float = 0.0,
        instance_noise: float = 0.0,
        augment: tuple[Change, ...] = (),
    ) -> None:
        super().__init__()
        at_least(1, latent_dim=latent_dim, discriminator_turns=discriminator_turns, r1_every=r1_every)
        at_least(
            0,
            class_weight=class_weight,
            penalty=penalty,
            r1=r1,
            label_smoothing=label_smoothing,
            instance_noise=instance_noise,
        )
        _check_clip(clip, spectral_norm)
        _check_smoothing(label_smoothing, loss)
        if augment and not isinstance(x, Image):
            raise ConfigError(f"augment changes images, got {x.plural}; set model.augment=[].")
        self.told = told(condition, label)
        self.classes = sum(len(kind) for kind in self.told.values())
        # Generator and discriminator see images in [-1, 1]; points have no range.
        self.bounded = isinstance(x, Image)
        self.latent_dim = latent_dim
        self.adversarial, self.label_smoothing = LOSSES[loss], label_smoothing
        self.class_weight = class_weight
        self.discriminator_turns, self.clip, self.penalty = discriminator_turns, clip, penalty
        self.r1, self.r1_every = r1, r1_every
        self.instance_noise, self.augment = instance_noise, augment
        self.generator = decoder_with_class(network, latent_dim, x, self.classes)
        self.discriminator = Discriminator(
            network, x, self.classes, condition, discriminator_normalization, spectral_norm
        )
        if (penalty or r1) and self.discriminator.normalizes_batches:
            raise ConfigError(
                "penalty and r1 need a score that depends on one item only, and with batch normalisation it depends on "
                "the whole batch; set model.discriminator_normalization=layer or none."
            )

    def players(self) -> dict[str, Player]:
        """Return the discriminator and the generator."""
        return {"discriminator": self.discriminator, "generator": self.generator}

    def turns(self, step: int) -> list[Turn]:
        """Return the turns of the discriminator, then the generator's; R1 is added in every `r1_every`-th step.

        If each moves once, the generator comes first and passes on the generated items. The discriminator then
        does not generate items of its own, which with a large generator saves a quarter of the step.
        """
        smooth = bool(self.r1) and step % self.r1_every == 0
        loss = self.smooth_discriminator_loss if smooth else self.discriminator_loss
        discriminator = Turn(
            "discriminator",
            loss,
            repeat=self.discriminator_turns,
            after=self.clip_weights if self.clip else None,
        )
        generator = Turn("generator", self.generator_loss)
        return [generator, discriminator] if self.discriminator_turns == 1 else [discriminator, generator]

    def generator_loss(self, batch: Batch) -> Result:
        """Return a loss that is low if the discriminator scores generated items high.

        With an auxiliary classifier the loss is also low if that recognises the class of each item.
        """
        label = self._label(batch)
        generated = self._generate(self._noise(batch), label)
        scores, logits = self._judged(generated, label)
        result = self._with_classes(Result(self.adversarial.generator(scores)), label, logits)
        # Detached here, too: a compiled loss then has no gradient to compute for it.
        return Result(result.loss, result.shown, handed_on={"generated": generated.detach()})

    def discriminator_loss(self, batch: Batch) -> Result:
        """Return a loss that is low if real items score high and generated ones low.

        An auxiliary classifier learns the classes of both.
        """
        return self._discriminator_result(batch, smooth=False)

    def smooth_discriminator_loss(self, batch: Batch) -> Result:
        """Return the discriminator's loss plus R1, half the squared gradient at real items (Mescheder et al. 2018)."""
        return self._discriminator_result(batch, smooth=True)

    def clip_weights(self) -> None:
        """Clip the weights of the discriminator to [-clip, clip], which bounds its gradient."""
        assert self.clip
        for weight in self.discriminator.parameters():
            weight.clamp_(-self.clip, self.clip)

    def validate(self, batch: Batch) -> Result:
        """Return the loss of the discriminator on held-out items, without penalties, and the diversity of samples.

        Also return the accuracy of an auxiliary classifier on held-out items and on generated ones. A discriminator
        with batch normalisation uses its running statistics here, and is less sure than in training.
        """
        real, label = self._inside(batch["x"]), self._label(batch)
        generated = self._generate(self._noise(batch), label)
        real_scores, real_logits = self._judged(real, label)
        scores, logits = self._judged(generated, label)
        result = self._with_classes(self._compare(real_scores, scores), label, real_logits, logits)
        accuracies = _class_accuracies(label, real_logits, logits)
        # The diversity of a single item is not defined.
        shown = {"diversity": diversity(generated, real, label)} if len(real) > 1 else {}
        return Result(result.loss, {**result.shown, **accuracies, **shown})

    def draw(
        self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Batch]:
        """Draw noise; a conditional GAN also draws classes if none are given."""
        device = home(self)
        return drawn(count, self.latent_dim, self.told, condition, device=device, generator=generator)

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        """Generate an item from each row of noise; a conditional GAN needs the classes."""
        return self._outside(self._generate(codes, self._label(condition or {})))

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Generate items from new noise; a conditional GAN draws classes if none are given."""
        return self.decode(*self.draw(count, condition, generator))

    def _discriminator_result(self, batch: Batch, smooth: bool) -> Result:
        real, label = self._inside(batch["x"]), self._label(batch)
        generated = batch["generated"] if "generated" in batch else self._generate(self._noise(batch), label)
        gradients = None
        if smooth:
            gradients, real_scores = squared_gradient(lambda items: self._scores(items, label), real)
            real_logits = self._judged(real, label)[1] if self.discriminator.classifier is not None else None
        else:
            real_scores, real_logits = self._judged(real, label)
        scores, logits = self._judged(generated, label)
        result = self._with_classes(self._compare(real_scores, scores), label, real_logits, logits)
        loss, shown = result.loss, dict(result.shown)
        if self.penalty:
            shown["penalty"] = gradient_penalty(lambda items: self._scores(items, label), real, generated)
            loss = loss + self.penalty * shown["penalty"]
        if gradients is not None:
            shown["r1"] = 0.5 * gradients.mean()
            # Weighted by `r1_every`, R1 has the same weight per step whether it is computed often or seldom.
            loss = loss + self.r1 * self.r1_every * shown["r1"]
        return Result(loss, shown)

    def _compare(self, real: Tensor, generated: Tensor) -> Result:
        loss = self.adversarial.real(real, self.label_smoothing) + self.adversarial.generated(generated)
        return Result(loss, self.adversarial.shown(real, generated))

    def _with_classes(self, result: Result, label: Tensor | None, *logits: Tensor | None) -> Result:
        """Add the error of an auxiliary classifier, if there is one, summed over the sets of items."""
        errors = [functional.cross_entropy(given, label) for given in logits if given is not None and label is not None]
        if not errors:
            return result
        shown = {**result.shown, "adversarial": result.loss, "classification": torch.stack(errors).sum()}
        return Result(result.loss + self.class_weight * shown["classification"], shown)

    def _scores(self, items: Tensor, label: Tensor | None) -> Tensor:
        return self._judged(items, label)[0]

    def _judged(self, items: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return what the discriminator finds; in training, of augmented items with instance noise."""
        if self.training:
            items = changed(items, self.augment)
            if self.instance_noise:
                items = items + self.instance_noise * randomness.normal(*items.shape, device=items.device)
        return self.discriminator.judge(items, label)

    def _generate(self, noise: Tensor, label: Tensor | None) -> Tensor:
        """Return items in the range that the discriminator sees."""
        if label is not None:
            noise = with_class(noise, label, self.classes)
        generated: Tensor = self.generator(noise).float()
        return generated.tanh() if self.bounded else generated

    def _noise(self, batch: Batch) -> Tensor:
        return randomness.normal(len(batch["x"]), self.latent_dim, device=batch["x"].device)

    def _label(self, batch: Batch) -> Tensor | None:
        return batch["label"] if self.told else None

    def _inside(self, items: Tensor) -> Tensor:
        return 2 * items - 1 if self.bounded else items

    def _outside(self, items: Tensor) -> Tensor:
        return (items + 1) / 2 if self.bounded else items


def _class_accuracies(label: Tensor | None, real: Tensor | None, generated: Tensor | None) -> dict[str, Tensor]:
    """Return how often an auxiliary classifier recognises the class; nothing if there is none."""
    found = {"real_class_accuracy": real, "generated_class_accuracy": generated}
    return {
        name: (logits.argmax(1) == label).float().mean()
        for name, logits in found.items()
        if logits is not None and label is not None
    }


def diversity(samples: Tensor, real: Tensor, label: Tensor | None = None) -> Tensor:
    """Return the mean distance between two samples, divided by that between two real items.

    With labels only pairs of the same class count.
    """
    pairs = ~torch.eye(len(real), dtype=torch.bool, device=real.device)
    if label is not None:
        alike = pairs & (label.unsqueeze(0) == label.unsqueeze(1))
        pairs = torch.where(alike.any(), alike, pairs)
    return _mean_distance(samples, pairs) / _mean_distance(real, pairs).clamp_min(1e-12)


def _mean_distance(items: Tensor, pairs: Tensor) -> Tensor:
    flat = items.float().flatten(1)
    return (torch.cdist(flat, flat) * pairs).sum() / pairs.sum()


def _check_clip(clip: float | None, spectral_norm: bool) -> None:
    if clip is not None and clip <= 0:
        raise ConfigError(f"clip must be above 0, got {clip}; set model.clip=null for no clipping.")
    if clip and spectral_norm:
        raise ConfigError(
            "clip and spectral_norm both bound the discriminator; set model.clip=null or model.spectral_norm=false."
        )


def _check_smoothing(label_smoothing: float, loss: LossName) -> None:
    if label_smoothing >= 1:
        raise ConfigError(f"label_smoothing must be below 1, got {label_smoothing}.")
    if label_smoothing and not LOSSES[loss].labelled:
        labelled = ", ".join(name for name, other in LOSSES.items() if other.labelled)
        raise ConfigError(f"label_smoothing works with the losses {labelled}, got {loss}; set model.label_smoothing=0.")
