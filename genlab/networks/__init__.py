"""Building blocks that several models share; a network builds encoders and decoders for a kind of data."""

from collections.abc import Callable

from genlab.networks.convolutional import Conv, Resnet
from genlab.networks.dcgan import Dcgan
from genlab.networks.mlp import Mlp
from genlab.networks.network import Network as Network
from genlab.networks.resnet_gan import ResnetGan

NETWORKS: dict[str, Callable[..., Network]] = {
    "mlp": Mlp,
    "conv": Conv,
    "dcgan": Dcgan,
    "resnet": Resnet,
    "resnet-gan": ResnetGan,
}
