"""Autoencoders, plain and denoising."""

from typing import Literal

from torch import Tensor, nn

from genlab import randomness
from genlab.contract import Batch, Model, Result
from genlab.kinds import Image, Points
from genlab.models.losses.bounds import active_share
from genlab.networks import Network
from genlab.networks.network import at_least
from genlab.registry import ConfigError

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
}


class Autoencoder(Model):
    """Autoencoder (Hinton and Salakhutdinov 2006); with noise, a denoising autoencoder (Vincent et al. 2008).

    With `code_weight` and weight decay it is a regularised autoencoder (RAE-L2, Ghosh et al. 2020), whose codes stay
    near the origin and close together. With `sparsity`, most numbers of a rectified code are 0 (Glorot et al. 2011).
    """

    def __init__(
        self,
        *,
        x: Image | Points,
        network: Network,
        latent_dim: int,
        noise: float = 0.0,
        code_weight: float = 0.0,
        sparsity: float = 0.0,
        code_activation: Literal["none", "sigmoid", "tanh", "relu"] = "none",
        output_activation: Literal["none", "sigmoid"] = "sigmoid",
    ) -> None:
        super().__init__()
        at_least(1, latent_dim=latent_dim)
        at_least(0, noise=noise, code_weight=code_weight, sparsity=sparsity)
        if isinstance(x, Points) and output_activation != "none":
            raise ConfigError(
                f"Points can be any numbers, and output_activation={output_activation} bounds them; "
                "set model.output_activation=none."
            )
        self.latent_dim, self.noise, self.bounded = latent_dim, noise, isinstance(x, Image)
        self.code_weight, self.sparsity = code_weight, sparsity
        self.encoder = nn.Sequential(network.encoder(x, latent_dim), _ACTIVATIONS[code_activation]())
        self.decoder = nn.Sequential(network.decoder(latent_dim, x), _ACTIVATIONS[output_activation]())

    def loss(self, batch: Batch) -> Result:
        """Return half the squared distance to the clean item, summed over pixels, plus penalties on the codes."""
        noisy, clean = self.damage(batch)
        codes = self.encoder(noisy)
        error = self._error(codes, clean).mean()
        penalties = self.penalties(codes.float())
        if not penalties:
            return Result(error)
        loss = error + sum(weight * penalty for weight, penalty in penalties.values())
        return Result(loss, {"reconstruction": error, **{name: penalty for name, (_, penalty) in penalties.items()}})

    def validate(self, batch: Batch) -> Result:
        """Return the training loss of held-out items, and the share of units that vary over them."""
        result = self.loss(batch)
        codes = self.encode(batch)
        # The variance over a single item is not defined.
        shown = {"active_share": active_share(codes)} if len(codes) > 1 else {}
        return Result(result.loss, {**result.shown, **shown})

    def penalties(self, codes: Tensor) -> dict[str, tuple[float, Tensor]]:
        """Return the weight and the value of each penalty on a batch of codes, by the name in the log."""
        found = {}
        if self.code_weight:
            found["code_square"] = self.code_weight, 0.5 * codes.square().sum(1).mean()
        if self.sparsity:
            found["code_sum"] = self.sparsity, codes.abs().sum(1).mean()
        return found

    def damage(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the items with noise, and the items; without noise both are the same."""
        clean = batch["x"]
        if not self.noise:
            return clean, clean
        # Not randn_like, whose order of draws depends on the memory format.
        return clean + self.noise * randomness.normal(*clean.shape, device=clean.device), clean

    def encode(self, batch: Batch) -> Tensor:
        """Return the code of each item."""
        codes: Tensor = self.encoder(batch["x"])
        return codes.to(batch["x"].dtype)

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        """Return the item of each code."""
        decoded: Tensor = self.decoder(codes)
        return decoded.float().clamp(0, 1) if self.bounded else decoded.float()

    def reconstruct(self, batch: Batch) -> Tensor:
        """Encode and decode each item."""
        return self.decode(self.encode(batch))

    def score(self, batch: Batch) -> Tensor:
        """Return the negative error of each item: the log likelihood of a unit Gaussian, up to a constant."""
        return -self._error(self.encoder(batch["x"]), batch["x"])

    def _error(self, codes: Tensor, wanted: Tensor) -> Tensor:
        difference = self.decoder(codes).float() - wanted
        error: Tensor = 0.5 * difference.square().flatten(1).sum(1)
        return error
