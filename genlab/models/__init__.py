"""The models, by the name of their class in a YAML file."""

from collections.abc import Callable

from genlab.contract import Model
from genlab.models.aae import AAE
from genlab.models.autoencoder import Autoencoder
from genlab.models.gan import GAN
from genlab.models.srgan import SRGAN
from genlab.models.srresnet import SRResNet
from genlab.models.vae import VAE
from genlab.models.vaegan import VAEGAN
from genlab.models.vqvae import VQVAE
from genlab.models.wae import WAE

MODELS: dict[str, Callable[..., Model]] = {
    "aae": AAE,
    "autoencoder": Autoencoder,
    "gan": GAN,
    "srgan": SRGAN,
    "srresnet": SRResNet,
    "vae": VAE,
    "vaegan": VAEGAN,
    "vqvae": VQVAE,
    "wae": WAE,
}
