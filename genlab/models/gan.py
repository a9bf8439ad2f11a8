"""The adversarial family: a generator makes images, a critic tells them from real ones."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.contract import Batch, Model, Shape, Terms, Turn
from genlab.models.adversarial import LOSSES, LossName
from genlab.models.critic import Condition, Critic, CriticNormalization, gradient_penalty, squared_gradient
from genlab.models.differentiable_augmentation import Change, changed
from genlab.models.health import COLLAPSED, WON, Line, collapsed, won
from genlab.networks import Network
from genlab.networks.network import at_least
from genlab.registry import ConfigError


class GAN(Model):
    """Two players: the critic learns what is real, the generator to be taken for it (Goodfellow et al. 2014).

    Its recipes: Radford et al. 2016 (dcgan), Arjovsky et al. 2017 (wgan), Gulrajani et al. 2017 (wgan-gp),
    Mirza and Osindero 2014 (cgan).
    """

    def __init__(
        self,
        *,
        shape: Shape,
        classes: int,
        network: Network,
        latent_dim: int,
        loss: LossName = "non-saturating",
        condition: Condition = "none",
        critic_turns: int = 1,
        critic_normalization: CriticNormalization = "batch",
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
        at_least(1, latent_dim=latent_dim, critic_turns=critic_turns, r1_every=r1_every)
        at_least(0, penalty=penalty, r1=r1, label_smoothing=label_smoothing, instance_noise=instance_noise)
        _check(shape, classes, condition, loss, clip, spectral_norm, label_smoothing, augment)
        self.latent_dim, self.shape, self.classes = latent_dim, shape, classes if condition != "none" else 0
        self.adversarial, self.label_smoothing = LOSSES[loss], label_smoothing
        self.critic_turns, self.clip, self.penalty = critic_turns, clip, penalty
        self.r1, self.r1_every = r1, r1_every
        self.instance_noise, self.augment = instance_noise, augment
        self.generator = network.decoder(latent_dim + self.classes, shape)
        self.critic = Critic(network, shape, self.classes, condition, critic_normalization, spectral_norm)
        if (penalty or r1) and self.critic.normalizes_batches:
            raise ConfigError(_NO_BATCHES)

    def players(self) -> dict[str, nn.Module]:
        """The critic and the generator."""
        return {"critic": self.critic, "generator": self.generator}

    def averaged(self) -> nn.Module:
        """What makes the images."""
        return self.generator

    def turns(self, step: int) -> list[Turn]:
        """The critic's moves, then the generator's; the critic pays for R1 once in `r1_every` steps.

        Where each moves once the generator begins, and leaves in the batch what it made for the critic to judge: it
        need not make images twice, which with a large generator is a quarter of a step.
        """
        smooth = bool(self.r1) and step % self.r1_every == 0
        loss = self.smooth_critic_loss if smooth else self.critic_loss
        after = self.clip_weights if self.clip else None
        critic = Turn("critic", loss, times=self.critic_turns, after=after, eager=smooth or bool(self.penalty))
        generator = Turn("generator", self.generator_loss)
        return [generator, critic] if self.critic_turns == 1 else [critic, generator]

    def critic_loss(self, batch: Batch) -> Terms:
        """Real images shall score high, the generator's low."""
        return self._critic_terms(batch, smooth=False)

    def smooth_critic_loss(self, batch: Batch) -> Terms:
        """The same with R1, half the squared gradient at real images (Mescheder et al. 2018)."""
        return self._critic_terms(batch, smooth=True)

    def generator_loss(self, batch: Batch) -> Terms:
        """What the generator makes shall score high."""
        labels = self._labels(batch)
        made = self._make(self._noise_for(batch), labels)
        batch["made"] = made.detach()
        return {"loss": self.adversarial.generator(self._judge(made, labels))}

    def clip_weights(self) -> None:
        """The critic's weights lie within `clip` of 0, so that its slope is bounded."""
        assert self.clip
        for weight in self.critic.parameters():
            weight.clamp_(-self.clip, self.clip)

    def validate(self, batch: Batch) -> Terms:
        """The critic's loss on images it never saw, without what smooths it, and how much the samples differ.

        A critic with batch normalisation judges by its running statistics here, and is less sure than while it trains.
        """
        real, labels = self._inside(batch["image"]), self._labels(batch)
        fake = self._make(self._noise_for(batch), labels)
        terms = self._versus(self._judge(real, labels), self._judge(fake, labels))
        # Of a single image there is nothing to say.
        return {**terms, "diversity": diversity(fake, real, labels)} if len(real) > 1 else terms

    def diagnose(self, lines: Sequence[Line]) -> str | None:
        """Whether the generator has collapsed, or the critic has won; with what this game has not tried."""
        if collapsed(lines):
            layer = " model.critic_normalization=layer" if self.critic.normalizes_batches else ""
            smooth = [] if self.r1 or self.penalty else [f"model.r1=1{layer}"]
            return f"{COLLAPSED} Try {' or '.join(['another rate of the generator', *smooth])}."
        if self.adversarial.boundary is not None and won(lines):
            noise = [] if self.instance_noise else ["model.instance_noise=0.1"]
            changes = [] if self.augment or self.shape.points else ["model.augment=[translation]"]
            return f"{WON} Try {' or '.join(['a lower rate of the critic', *noise, *changes])}."
        return None

    def sample(self, count: int, labels: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Images of new noise; of the classes that are given, or of classes drawn with the noise."""
        if not self.classes:
            return self._outside(self._make(self.noise(count, self.latent_dim, generator=generator), None))
        drawn = self.noise(count, self.latent_dim + 1, generator=generator)
        if labels is None:
            # The last number says which: so many rows give the same classes however they are split.
            share = torch.special.ndtr(drawn[:, -1])
            labels = (share * self.classes).long().clamp(max=self.classes - 1)
        if len(labels) != count:
            raise ConfigError(f"{count} samples want as many labels, and there are {len(labels)}.")
        return self._outside(self._make(drawn[:, :-1], labels.to(drawn.device)))

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """Where it is told the class: a row of samples for each of the first 16, each column of the same noise."""
        if not self.classes or self.shape.points:
            return super().show(batch)
        rows, columns = min(self.classes, 16), 8
        noise = self.noise(columns, self.latent_dim).repeat(rows, 1)
        labels = torch.arange(rows, device=noise.device).repeat_interleave(columns)
        samples = self._outside(self._make(noise, labels))
        return {"samples": samples.reshape(rows, columns, *self.shape)}

    def _critic_terms(self, batch: Batch, smooth: bool) -> Terms:
        real, labels = self._inside(batch["image"]), self._labels(batch)
        fake = batch.pop("made") if "made" in batch else self._make(self._noise_for(batch), labels)
        if smooth:
            real = real.detach().requires_grad_()
        real_scores = self._judge(real, labels)
        terms = self._versus(real_scores, self._judge(fake, labels))
        if self.penalty:
            terms["penalty"] = gradient_penalty(lambda images: self._judge(images, labels), real, fake)
            terms["loss"] = terms["loss"] + self.penalty * terms["penalty"]
        if smooth:
            terms["r1"] = 0.5 * squared_gradient(real_scores, real).mean()
            terms["loss"] = terms["loss"] + self.r1 * self.r1_every * terms["r1"]
        return terms

    def _versus(self, real: Tensor, fake: Tensor) -> Terms:
        loss = self.adversarial.real(real, self.label_smoothing) + self.adversarial.fake(fake)
        real_accuracy, fake_accuracy = self.adversarial.accuracy(real, fake)
        return {"loss": loss, "real_accuracy": real_accuracy, "fake_accuracy": fake_accuracy}

    def _judge(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """The critic's scores; while it trains, of images that are changed and noisy."""
        if self.training:
            images = changed(images, self.augment)
            if self.instance_noise:
                images = images + self.instance_noise * self.noise(*images.shape)
        scores: Tensor = self.critic(images, labels)
        return scores

    def _make(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Images as the players see them, of noise and, where there is one, the label."""
        if labels is not None:
            noise = torch.cat([noise, functional.one_hot(labels, self.classes).to(noise.dtype)], dim=1)
        made: Tensor = self.generator(noise).float()
        return made if self.shape.points else made.tanh()

    def _noise_for(self, batch: Batch) -> Tensor:
        return self.noise(len(batch["image"]), self.latent_dim)

    def _labels(self, batch: Batch) -> Tensor | None:
        return batch["label"] if self.classes else None

    # The players see images in [-1, 1]; points are the same to them as to everybody.

    def _inside(self, images: Tensor) -> Tensor:
        return images if self.shape.points else 2 * images - 1

    def _outside(self, images: Tensor) -> Tensor:
        return images if self.shape.points else (images + 1) / 2


def diversity(samples: Tensor, real: Tensor, labels: Tensor | None = None) -> Tensor:
    """The mean distance between two samples over that between two real images, of one class where there are labels."""
    others = ~torch.eye(len(real), dtype=torch.bool, device=real.device)
    if labels is not None:
        alike = others & (labels.unsqueeze(0) == labels.unsqueeze(1))
        others = torch.where(alike.any(), alike, others)
    return _spread(samples, others) / _spread(real, others).clamp_min(1e-12)


def _spread(images: Tensor, pairs: Tensor) -> Tensor:
    flat = images.float().flatten(1)
    return (torch.cdist(flat, flat) * pairs).sum() / pairs.sum()


def _check(
    shape: Shape,
    classes: int,
    condition: Condition,
    loss: LossName,
    clip: float | None,
    spectral_norm: bool,
    label_smoothing: float,
    augment: tuple[Change, ...],
) -> None:
    """What does not go together, or not with the data."""
    if clip is not None and clip <= 0:
        raise ConfigError(f"clip must be above 0, and {clip} is not; null clips nothing.")
    if clip and spectral_norm:
        raise ConfigError(
            "clip and spectral_norm both bound the critic; set model.clip=null or model.spectral_norm=false."
        )
    if label_smoothing >= 1:
        raise ConfigError(f"label_smoothing must be below 1, and {label_smoothing} is not.")
    if label_smoothing and not LOSSES[loss].labelled:
        raise ConfigError(f"label_smoothing goes with {_LABELLED}; set model.label_smoothing=0 with {loss}.")
    if augment and shape.points:
        raise ConfigError("augment changes images, and these are points; set model.augment=[].")
    if condition != "none" and not classes:
        raise ConfigError(_NO_LABELS)


_LABELLED = ", ".join(name for name, loss in LOSSES.items() if loss.labelled)
_NO_LABELS = (
    "it is told the class of each image, and this data has no labels. Take data with labels, such as fashion-mnist "
    "(of a folder, data.labels=folder), or model.condition=none."
)
_NO_BATCHES = (
    "penalty and r1 are of the slope of one image's score, and with batch normalisation it depends on all images "
    "of a batch; set model.critic_normalization=layer or none."
)
