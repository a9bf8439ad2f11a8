"""The models, by the name of their class in a YAML file."""

from collections.abc import Callable

from genlab.contract import Model
from genlab.models.aae import AAE
from genlab.models.autoencoder import Autoencoder
from genlab.models.cyclegan import CycleGAN
from genlab.models.gan import GAN
from genlab.models.pix2pix import Pix2Pix
from genlab.models.srgan import SRGAN
from genlab.models.srresnet import SRResNet
from genlab.models.stylegan import StyleGAN
from genlab.models.vae import VAE
from genlab.models.vaegan import VAEGAN
from genlab.models.vqvae import VQVAE
from genlab.models.wae import WAE

MODELS: dict[str, Callable[..., Model]] = {
    "aae": AAE,
    "autoencoder": Autoencoder,
    "cyclegan": CycleGAN,
    "gan": GAN,
    "pix2pix": Pix2Pix,
    "srgan": SRGAN,
    "srresnet": SRResNet,
    "stylegan": StyleGAN,
    "vae": VAE,
    "vaegan": VAEGAN,
    "vqvae": VQVAE,
    "wae": WAE,
}
