"""What is in a code: units in use, what a linear probe reads from it, and whether neighbours stay neighbours."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlab.randomness import generator
from genlab.registry import ConfigError

ACTIVE = 0.01
"""A unit is in use where the variance of its mean over the data is above this (Burda et al. 2016)."""

# Short codes are read best with less of it, pixels with more: each loses about a hundredth by this.
_STRENGTH = 0.1
_NEIGHBOURS, _POINTS = 12, 2000
_SEED = 0

ESTIMATOR = (
    f"active_units: units whose posterior mean has a variance above {ACTIVE} over the images. "
    "probe_accuracy: of a multinomial logistic regression on features that are standardised as the training ones are, "
    f"L2, C = {_STRENGTH}. trustworthiness: of {_NEIGHBOURS} neighbours by Euclidean distance, among at most "
    f"{_POINTS:,} images. pca: of as many components as the code has, or as there are, fitted on training images."
)
"""How the figures are come by, for whoever compares them."""


def active_units(codes: Tensor) -> dict[str, float]:
    """How many units of the posterior means, N x D, vary over the data (Burda et al. 2016)."""
    variances = finite(codes).var(0, dtype=np.float64)
    return {"active_units": float((variances > ACTIVE).sum())}


def probe(train_codes: Tensor, train_labels: Tensor, test_codes: Tensor, test_labels: Tensor) -> float:
    """The share of test labels that a linear classifier of standardised codes gets right (Alain and Bengio 2017)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Single precision is four times as fast, and enough: with a tenth of the tolerance no figure differs by 0.001.
    regression = LogisticRegression(C=_STRENGTH, solver="lbfgs", tol=1e-4, max_iter=10_000)
    classifier = make_pipeline(StandardScaler(), regression).fit(finite(train_codes), train_labels.cpu().numpy())
    return float(classifier.score(finite(test_codes), test_labels.cpu().numpy()))


def probes(
    train_codes: Tensor,
    train_images: Tensor,
    train_labels: Tensor,
    test_codes: Tensor,
    test_images: Tensor,
    test_labels: Tensor,
    known: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """A probe of the codes beside one of PCA of equal size and one of the pixels; none where there is one class.

    The two others say nothing of the model: they may be `known` from another with as long a code.
    """
    if int(train_labels.bincount().count_nonzero()) < 2 or not len(test_labels):
        return {}
    if known:
        return {"probe_accuracy": probe(train_codes, train_labels, test_codes, test_labels), **known}
    pixels = train_images.flatten(1), test_images.flatten(1)
    components = principal_components(train_images, train_codes.shape[1])
    inputs = {
        "probe_accuracy": (train_codes, test_codes),
        "probe_accuracy-pca": tuple(torch.from_numpy(components.transform(finite(part))) for part in pixels),
        "probe_accuracy-pixels": pixels,
    }
    return {name: probe(train, train_labels, test, test_labels) for name, (train, test) in inputs.items()}


def trustworthiness(codes: Tensor, images: Tensor, train_images: Tensor) -> dict[str, float]:
    """Whether neighbours among codes are neighbours among images (Venna and Kaski 2001), and those of PCA are."""
    from sklearn import manifold

    # With fewer points than this the measure has no scale.
    if min(len(codes), _POINTS) <= 2 * _NEIGHBOURS:
        return {}
    rows = torch.randperm(len(codes), generator=generator(_SEED, "trustworthiness", len(codes)))[:_POINTS].numpy()
    points, pixels = finite(codes)[rows], finite(images.flatten(1))[rows]
    components = principal_components(train_images, codes.shape[1])
    return {
        "trustworthiness": float(manifold.trustworthiness(pixels, points, n_neighbors=_NEIGHBOURS)),
        "trustworthiness-pca": float(
            manifold.trustworthiness(pixels, components.transform(pixels), n_neighbors=_NEIGHBOURS)
        ),
    }


def principal_components(images: Tensor, size: int) -> Any:
    """scikit-learn's PCA of the images, of so many components or as many as there are."""
    from sklearn.decomposition import PCA

    pixels = finite(images.flatten(1))
    return PCA(min(size, *pixels.shape), random_state=_SEED).fit(pixels)


def finite(values: Tensor) -> NDArray[np.float32]:
    """The values as scikit-learn takes them, or an error where some of them mean nothing."""
    if not bool(values.isfinite().all()):
        raise ConfigError("Codes that are nan or inf cannot be measured, and some of this model's are.")
    array: NDArray[np.float32] = values.detach().float().cpu().numpy()
    return array
