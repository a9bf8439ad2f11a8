"""The variational autoencoder: also conditional, with tighter bounds, and for disentangled codes."""

import math
from typing import Literal

import torch
from torch import Tensor

from genlab import randomness
from genlab.contract import Batch, Model, Result, home
from genlab.kinds import Classes, Image, Points
from genlab.models.losses.bounds import CodeCost, active_share, kl_by_unit, log_mean, log_normal, total_correlation
from genlab.models.losses.likelihood import LikelihoodName, build_likelihood
from genlab.networks import Network
from genlab.networks.condition import Plane, drawn, told, with_class
from genlab.networks.network import at_least
from genlab.registry import ConfigError


class VAE(Model):
    """Variational autoencoder (Kingma and Welling 2014).

    Its other recipes: beta-vae (Higgins et al. 2017), cvae (Sohn et al. 2015), iwae (Burda et al. 2016) and tc-vae
    (Chen et al. 2018).

    A conditional VAE tells the class to encoder and decoder. All classes are equally likely. Without a label the model
    infers the class by the bound that each class gives.
    """

    def __init__(
        self,
        *,
        x: Image | Points,
        label: Classes | None = None,
        network: Network,
        latent_dim: int,
        beta: float = 1.0,
        likelihood: LikelihoodName = "bernoulli",
        std: float | None = None,
        condition: Literal["none", "label"] = "none",
        importance: int = 1,
        free_bits: float = 0.0,
        kl_warmup: int = 0,
        correlation: float = 1.0,
        capacity: float | None = None,
        capacity_steps: int = 10_000,
        capacity_weight: float = 1000.0,
    ) -> None:
        super().__init__()
        at_least(1, latent_dim=latent_dim, importance=importance)
        if isinstance(x, Points) and likelihood == "bernoulli":
            raise ConfigError(
                "A bernoulli likelihood takes pixels in [0, 1], got points; set model.likelihood=gaussian."
            )
        self.cost = CodeCost(
            beta=beta,
            correlation=correlation,
            free_bits=free_bits,
            kl_warmup=kl_warmup,
            capacity=capacity,
            capacity_steps=capacity_steps,
            capacity_weight=capacity_weight,
        )
        if importance > 1:
            self.cost.refuse(f"importance={importance}", beta=1.0, correlation=1.0, free_bits=0.0, capacity=None)
        self.told = told(condition, label)
        self.classes = sum(len(kind) for kind in self.told.values())
        self.latent_dim, self.beta, self.importance = latent_dim, beta, importance
        self.plane = Plane(self.classes, x) if self.told else None
        self.encoder = network.encoder(self.plane.kind if self.plane else x, 2 * latent_dim)
        self.decoder = network.decoder(latent_dim + self.classes, x)
        self.likelihood = build_likelihood(likelihood, std, bounded=isinstance(x, Image))
        self.continuous = likelihood != "bernoulli"

    def loss(self, batch: Batch) -> Result:
        """Return the reconstruction error and the cost of the codes, or the importance-weighted bound."""
        mean, log_variance = self.posterior(batch)
        step, units = batch.get("step"), kl_by_unit(mean, log_variance)
        if self.importance > 1:
            bound, reconstruction = self._weighted(batch, mean, log_variance, self.cost.warmth(step))
            return Result(bound, {"reconstruction": reconstruction, "kl": units.sum(1).mean()})
        codes = sample_gaussian(mean, log_variance)
        # Summed, not averaged, over pixels: only then does beta = 1 give the ELBO.
        reconstruction = self._error(codes, batch).mean()
        shown = {"reconstruction": reconstruction, "kl": units.sum(1).mean()}
        if self.cost.correlation != 1:
            shown["correlation"] = total_correlation(codes, mean, log_variance)
        return Result(reconstruction + self.cost(units, shown.get("correlation"), step), shown)

    def validate(self, batch: Batch) -> Result:
        """Return the bound on held-out items: the ELBO with the KL term weighted by beta, or the weighted bound.

        Everything else that changes the cost of the codes in training is left out.
        """
        mean, log_variance = self.posterior(batch)
        kl = kl_by_unit(mean, log_variance).sum(1).mean()
        if self.importance > 1:
            loss, reconstruction = self._weighted(batch, mean, log_variance)
        else:
            reconstruction = self._error(sample_gaussian(mean, log_variance), batch).mean()
            loss = reconstruction + self.beta * kl
        # The variance over a single item is not defined.
        shown = {"active_share": active_share(mean)} if len(mean) > 1 else {}
        return Result(loss, {"reconstruction": reconstruction, "kl": kl, **shown})

    def nats(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the two parts of each item's negative ELBO, summed over pixels and over the code.

        If the class is inferred, it costs log(classes): the KL of a certain class from equally likely ones.
        """
        known = self._known(batch)
        mean, log_variance = self.posterior(known)
        kl = kl_by_unit(mean, log_variance).sum(1)
        inferred = math.log(self.classes) if known is not batch else 0.0
        return self._error(sample_gaussian(mean, log_variance), known), kl + inferred

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the mean and the log variance of each item's code."""
        items = batch["x"]
        if self.plane is not None:
            items = self.plane.beside(items, self._known(batch)["label"])
        mean, log_variance = self.encoder(items).float().chunk(2, dim=1)
        return mean, log_variance

    def encode(self, batch: Batch) -> Tensor:
        """Return the mean of each item's code."""
        return self.posterior(batch)[0]

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        """Return the expected item of each code; a conditional VAE needs the classes."""
        return self.likelihood.mean(self._decoded(codes, condition or {}))

    def reconstruct(self, batch: Batch) -> Tensor:
        """Decode the mean of each item's code."""
        known = self._known(batch)
        return self.decode(self.encode(known), known)

    def draw(
        self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Batch]:
        """Draw codes from the prior; a conditional VAE also draws classes if none are given."""
        return drawn(count, self.latent_dim, self.told, condition, device=home(self), generator=generator)

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Decode codes drawn from the prior."""
        return self.decode(*self.draw(count, condition, generator))

    def score(self, batch: Batch) -> Tensor:
        """Return the ELBO of each item, estimated with one drawn code.

        Without a label, a conditional VAE draws a code for each class, and sums p(class) exp ELBO over the classes.
        """
        if self._lacks_class(batch):
            return self._joint(batch, draw=True).logsumexp(1)
        reconstruction, kl = self.nats(batch)
        return -(reconstruction + kl)

    def infer(self, batch: Batch) -> Batch:
        """Return the likeliest class of each item."""
        return {"label": self.classify(batch).argmax(1)}

    def classify(self, batch: Batch) -> Tensor:
        """Return the log probability of each class, from the ELBO that it gives with the mean of the code."""
        return self._joint(batch, draw=False).log_softmax(1)

    def log_likelihood(self, codes: Tensor, batch: Batch) -> Tensor:
        """Return the log likelihood of each item given each of its codes."""
        condition: Batch = {}
        if self.told:
            # One class for each code, or one for all codes of an item.
            label = self._known(batch)["label"]
            condition = {"label": label.view(len(label), -1).expand(codes.shape[:2]).flatten()}
        decoded = self._decoded(codes.flatten(0, 1), condition)
        return -self.likelihood.of_each(decoded.view(*codes.shape[:2], *decoded.shape[1:]), batch["x"])

    def log_prior(self, codes: Tensor) -> Tensor:
        """Return the log density of codes under the prior."""
        return log_standard_normal(codes)

    def _weighted(
        self, batch: Batch, mean: Tensor, log_variance: Tensor, warmth: Tensor | float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Return the negative bound by the weights of several codes of each item, and the mean reconstruction error."""
        mean, log_variance = (values.unsqueeze(1).expand(-1, self.importance, -1) for values in (mean, log_variance))
        codes = sample_gaussian(mean, log_variance)
        likelihood = self.log_likelihood(codes, batch)
        ratio = self.log_prior(codes) - log_normal(codes, mean, log_variance).sum(2)
        return -log_mean(likelihood + warmth * ratio).mean(), -likelihood.mean()

    def _joint(self, batch: Batch, draw: bool) -> Tensor:
        """Return log p(class) plus the ELBO given the class, for each item and class."""
        assert self.told, "Only a conditional model has classes."
        if torch.compiler.is_exporting() and not draw:
            return self._joint_at_once(batch["x"])
        found = []
        for number in range(self.classes):
            given = batch | {"label": torch.full((len(batch["x"]),), number, device=batch["x"].device)}
            mean, log_variance = self.posterior(given)
            codes = sample_gaussian(mean, log_variance) if draw else mean
            found.append(-self._error(codes, given) - kl_by_unit(mean, log_variance).sum(1))
        return torch.stack(found, 1) - math.log(self.classes)

    def _joint_at_once(self, items: Tensor) -> Tensor:
        """Return `_joint` without drawing, by one batch for all classes: an exported graph then has no copies.

        `len` would fix the size of the batch in the graph.
        """
        each = items.unsqueeze(1).expand(-1, self.classes, *items.shape[1:])
        label = torch.arange(self.classes, device=items.device).expand(each.shape[:2])
        given = {"x": each.flatten(0, 1), "label": label.flatten()}
        mean, log_variance = self.posterior(given)
        bound = -self._error(mean, given) - kl_by_unit(mean, log_variance).sum(1)
        return bound.view(-1, self.classes) - math.log(self.classes)

    def _known(self, batch: Batch) -> Batch:
        """Return the batch with the inferred class of each item if it is needed and not given."""
        return batch | self.infer(batch) if self._lacks_class(batch) else batch

    def _lacks_class(self, batch: Batch) -> bool:
        return bool(self.told) and "label" not in batch

    def _error(self, codes: Tensor, batch: Batch) -> Tensor:
        """Return the negative log likelihood of each item given its code."""
        error: Tensor = self.likelihood(self._decoded(codes, batch), batch["x"])
        return error

    def _decoded(self, codes: Tensor, condition: Batch) -> Tensor:
        decoded: Tensor = self.decoder(with_class(codes, condition["label"], self.classes) if self.told else codes)
        return decoded


def log_standard_normal(codes: Tensor) -> Tensor:
    """Return the log density of N(0, I), summed over the last dimension."""
    return -0.5 * (codes.square() + math.log(2 * math.pi)).sum(-1)


def sample_gaussian(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Draw from a Gaussian so that gradients flow (reparameterisation): d/dmean is 1 and d/dsigma is the noise."""
    return mean + torch.exp(0.5 * log_variance) * randomness.normal_like(mean)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, I)) of each row, in nats."""
    return kl_by_unit(mean, log_variance).sum(1)
