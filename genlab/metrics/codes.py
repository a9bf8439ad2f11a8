"""Metrics of codes: active units, linear probes, the classes of neighbours, and whether neighbours stay neighbours."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlab.randomness import generator
from genlab.registry import ConfigError

ACTIVE = 0.01
"""A unit is active if the variance of its mean over the data is above this (Burda et al. 2016)."""

# Short codes are probed best with a weaker penalty and pixels with a stronger one; each loses about 0.01 by this value.
_STRENGTH = 0.1
_NEIGHBOURS, _POINTS = 12, 2000
VOTERS = 15
"""Nearest training codes that predict the class of a test item."""
_SEED = 0

ESTIMATOR = (
    f"active_units: units whose posterior mean has a variance above {ACTIVE} over the items. "
    "probe_accuracy: multinomial logistic regression, features standardised by the training items, "
    f"L2 penalty, C = {_STRENGTH}. trustworthiness: {_NEIGHBOURS} nearest neighbours by Euclidean distance, among at "
    f"most {_POINTS:,} items. pca: as many components as the code has units, at most as many as exist, fitted on "
    "training items."
)
"""The estimators, as the protocol of an evaluation states them."""


def active_units(codes: Tensor) -> dict[str, float]:
    """Count the units of the posterior means, N x D, that vary over the data (Burda et al. 2016)."""
    variances = finite(codes).var(0, dtype=np.float64)
    return {"active_units": float((variances > ACTIVE).sum())}


def kl_of_units(means: Tensor, log_variances: Tensor) -> Tensor:
    """Return the mean over items of each unit's KL(N(mean, variance) || N(0, 1)), in nats, from N x D of each."""
    mean, log_variance = means.double(), log_variances.double()
    nats: Tensor = -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
    return nats.mean(0)


def probe(train_codes: Tensor, train_labels: Tensor, test_codes: Tensor, test_labels: Tensor) -> float:
    """Return the test accuracy of a linear classifier of standardised codes (Alain and Bengio 2017)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Single precision is four times as fast; a tenth of the tolerance changes no accuracy by 0.001.
    regression = LogisticRegression(C=_STRENGTH, solver="lbfgs", tol=1e-4, max_iter=10_000)
    classifier = make_pipeline(StandardScaler(), regression).fit(finite(train_codes), train_labels.cpu().numpy())
    return float(classifier.score(finite(test_codes), test_labels.cpu().numpy()))


def probes(
    train_codes: Tensor,
    train_items: Tensor,
    train_labels: Tensor,
    test_codes: Tensor,
    test_items: Tensor,
    test_labels: Tensor,
    known: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Probe the codes, beside PCA of equal size and the items themselves; return nothing if there is only one class.

    The last two do not depend on the model: `known` gives them from another model with codes of the same length.
    """
    if int(train_labels.bincount().count_nonzero()) < 2 or not len(test_labels):
        return {}
    if known:
        return {"probe_accuracy": probe(train_codes, train_labels, test_codes, test_labels), **known}
    pixels = train_items.flatten(1), test_items.flatten(1)
    components = principal_components(train_items, train_codes.shape[1])
    inputs = {
        "probe_accuracy": (train_codes, test_codes),
        "probe_accuracy-pca": tuple(torch.from_numpy(components.transform(finite(part))) for part in pixels),
        "probe_accuracy-pixels": pixels,
    }
    return {name: probe(train, train_labels, test, test_labels) for name, (train, test) in inputs.items()}


def neighbour_accuracy(train_codes: Tensor, train_labels: Tensor, test_codes: Tensor, test_labels: Tensor) -> float:
    """Return the test accuracy of the most frequent class among the 15 nearest training codes."""
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(min(VOTERS, len(train_codes)))
    classifier.fit(finite(train_codes), train_labels.cpu().numpy())
    return float(classifier.score(finite(test_codes), test_labels.cpu().numpy()))


def trust(points: Tensor, items: Tensor) -> float | None:
    """Measure how far neighbours among points, such as codes, are neighbours among items (Venna and Kaski 2001).

    Return None for so few items that the measure has no scale.
    """
    from sklearn import manifold

    if min(len(points), _POINTS) <= 2 * _NEIGHBOURS:
        return None
    rows = torch.randperm(len(points), generator=generator(_SEED, "trustworthiness", len(points)))[:_POINTS].numpy()
    chosen = finite(items.flatten(1))[rows], finite(points)[rows]
    return float(manifold.trustworthiness(*chosen, n_neighbors=_NEIGHBOURS))


def trustworthiness(codes: Tensor, items: Tensor, train_items: Tensor) -> dict[str, float]:
    """Measure the trustworthiness of codes, beside PCA of equal size; return nothing for very few items."""
    components = principal_components(train_items, codes.shape[1])
    reduced = torch.from_numpy(components.transform(finite(items.flatten(1))))
    found = {"trustworthiness": trust(codes, items), "trustworthiness-pca": trust(reduced, items)}
    return {name: value for name, value in found.items() if value is not None}


def principal_components(items: Tensor, size: int) -> Any:
    """Fit scikit-learn's PCA with `size` components, or as many as the items have."""
    from sklearn.decomposition import PCA

    pixels = finite(items.flatten(1))
    return PCA(min(size, *pixels.shape), random_state=_SEED).fit(pixels)


def finite(values: Tensor) -> NDArray[np.float32]:
    """Convert to an array for scikit-learn; raise a ConfigError if a value is not finite."""
    if not bool(values.isfinite().all()):
        raise ConfigError("Some codes of this model are nan or inf, so they cannot be measured.")
    array: NDArray[np.float32] = values.detach().float().cpu().numpy()
    return array
