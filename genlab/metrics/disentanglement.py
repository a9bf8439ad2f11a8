"""Whether each unit of a code stands for one factor of the data: MIG, SAP and DCI, where the factors are known."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlab.data.dataset import Attribute
from genlab.metrics.codes import finite
from genlab.randomness import generator

_CODE_BINS, _NUMBER_BINS = 20, 10
_TREES, _DEPTH, _RATE = 100, 3, 0.1
_SEED = 0

ESTIMATOR = (
    f"MIG: by histograms, each unit in {_CODE_BINS} bins of equal width, numbers in {_NUMBER_BINS} unless they have "
    "no more values; entropies with Miller and Madow's correction. Skill: of numbers R^2, of choices the recall "
    "averaged over the choices, from 0 for chance to 1, never below 0, always on the half of the images that nothing "
    "was fitted on. SAP: the skill of a straight line, of choices that of a tree with as many leaves, from one unit. "
    f"DCI: gradient boosting of {_TREES} trees of depth {_DEPTH} at a rate of {_RATE}, choices weighed alike; the "
    "importance is the share of the impurity that a unit takes away, informativeness the skill. Every factor counts "
    "the same, angles too: they are numbers, though they come round and a square repeats within, which no unit can "
    "follow without a break."
)
"""How the figures are come by, for whoever compares them."""

Codes = NDArray[np.float32]
Indices = NDArray[np.int64]


class _Factor(NamedTuple):
    """What is known of each image: a number, or the index of a choice that some image has."""

    values: NDArray[Any]
    choices: int
    """How many; 0 where the values are numbers."""


class _Halves(NamedTuple):
    """The images that are fitted on, and those that the fit is judged by."""

    fitted: Indices
    judged: Indices


def disentangled(codes: Tensor, factors: Mapping[str, Attribute]) -> dict[str, float]:
    """MIG (Chen et al. 2018), SAP (Kumar et al. 2018) and DCI (Eastwood and Williams 2018) of codes, N x D.

    Factors that are the same in one half of the images are left out, and so are figures that compare factors or units
    where there is only one. MIG and SAP of a single unit take 0 for the second.
    """
    units = finite(codes)
    order = torch.randperm(len(units), generator=generator(_SEED, "disentanglement", len(units))).numpy()
    halves = _Halves(*np.array_split(order, 2))
    known = [_factor(attribute) for attribute in factors.values()]
    known = [factor for factor in known if _varies(factor, halves)]
    if not known:
        return {}
    information = [_information(units, factor) for factor in known]
    skills = [_skills_of_units(units, factor, halves) for factor in known]
    return {
        "MIG": float(np.mean([_gap(shares) for shares in information])),
        "SAP": float(np.mean([_gap(scores) for scores in skills])),
        **_dci(units, known, halves),
    }


def mutual_information(first: Indices, second: Indices) -> float:
    """How much two rows of indices tell of each other in nats, corrected for their number; never below 0."""
    together = first * (int(second.max()) + 1) + second
    return max(0.0, entropy(first) + entropy(second) - entropy(together))


def entropy(indices: Indices) -> float:
    """In nats, by how often each index occurs, corrected for their number (Miller 1955)."""
    _, counts = np.unique(indices, return_counts=True)
    shares = counts / len(indices)
    return float(-(shares * np.log(shares)).sum()) + (len(counts) - 1) / (2 * len(indices))


def concentration(weights: NDArray[np.float64]) -> float:
    """How much each row of weights lies on one of its entries, from 0 to 1, rows counted by how much they weigh."""
    rows = weights[weights.sum(1) > 0]
    if not len(rows):
        return 0.0
    shares = rows / rows.sum(1, keepdims=True)
    entropies = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(1) / np.log(shares.shape[1])
    # Rounding may leave an even row a little below nothing.
    return max(0.0, float(np.average(1 - entropies, weights=rows.sum(1))))


def _factor(attribute: Attribute) -> _Factor:
    values = attribute.values.cpu().numpy()
    if not attribute.choices:
        return _Factor(values.astype(np.float64), 0)
    found, indices = np.unique(values, return_inverse=True)
    return _Factor(indices, len(found))


def _varies(factor: _Factor, halves: _Halves) -> bool:
    return all(len(np.unique(factor.values[half])) > 1 for half in halves)


def _information(units: Codes, factor: _Factor) -> list[float]:
    """What each unit tells of a factor, as a share of all that there is to tell."""
    told = _as_indices(factor)
    everything = entropy(told)
    return [mutual_information(_binned(unit, _CODE_BINS), told) / everything for unit in units.T]


def _as_indices(factor: _Factor) -> Indices:
    found, indices = np.unique(factor.values, return_inverse=True)
    return indices if factor.choices or len(found) <= _NUMBER_BINS else _binned(factor.values, _NUMBER_BINS)


def _binned(values: NDArray[Any], bins: int) -> Indices:
    """In which bin each value is, of so many of equal width from the lowest to the highest."""
    inner = np.linspace(float(values.min()), float(values.max()), bins + 1)[1:-1]
    return np.searchsorted(inner, values, side="right")


def _gap(scores: list[float]) -> float:
    """From the best to the second, which is 0 where there is none."""
    best, second = sorted([*scores, 0.0], reverse=True)[:2]
    return best - second


def _skills_of_units(units: Codes, factor: _Factor, halves: _Halves) -> list[float]:
    from sklearn.linear_model import LinearRegression
    from sklearn.tree import DecisionTreeClassifier

    skills = []
    for unit in units.T:
        # As many leaves as choices: the fewest thresholds that can tell them apart.
        tree = DecisionTreeClassifier(max_leaf_nodes=max(2, factor.choices), random_state=_SEED)
        skills.append(_skill(tree if factor.choices else LinearRegression(), unit[:, None], factor, halves))
    return skills


def _dci(units: Codes, factors: list[_Factor], halves: _Halves) -> dict[str, float]:
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    skills, importances = [], []
    for factor in factors:
        forest = GradientBoostingClassifier if factor.choices else GradientBoostingRegressor
        trees = forest(n_estimators=_TREES, max_depth=_DEPTH, learning_rate=_RATE, random_state=_SEED)
        skills.append(_skill(trees, units, factor, halves))
        importances.append(trees.feature_importances_)
    of_factors = np.stack(importances)
    figures = {}
    if len(factors) > 1:
        figures["DCI-disentanglement"] = concentration(of_factors.T)
    if units.shape[1] > 1:
        figures["DCI-completeness"] = concentration(of_factors)
    return {**figures, "DCI-informativeness": float(np.mean(skills))}


def _skill(predictor: Any, inputs: Codes, factor: _Factor, halves: _Halves) -> float:
    """How well a factor is predicted where nothing was fitted, from 0 for chance to 1."""
    from sklearn.utils.class_weight import compute_sample_weight

    target, truth = (factor.values[half] for half in halves)
    weights = compute_sample_weight("balanced", target) if factor.choices else None
    made = predictor.fit(inputs[halves.fitted], target, sample_weight=weights).predict(inputs[halves.judged])
    if not factor.choices:
        return max(0.0, float(1 - ((made - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()))
    recalls = [float((made[truth == choice] == choice).mean()) for choice in np.unique(truth)]
    chance = 1 / len(recalls)
    return max(0.0, (float(np.mean(recalls)) - chance) / (1 - chance))
