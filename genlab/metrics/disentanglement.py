"""Disentanglement of codes by known factors of the data: MIG, SAP and DCI."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlab.data.dataset import Column
from genlab.kinds import Classes
from genlab.metrics.codes import finite
from genlab.randomness import generator

_CODE_BINS, _NUMBER_BINS = 20, 10
_TREES, _DEPTH, _RATE = 100, 3, 0.1
_SEED, _SHUFFLES = 0, 5

ESTIMATOR = (
    f"MIG: histograms, each unit in {_CODE_BINS} bins of equal width, numbers in {_NUMBER_BINS} bins unless they have "
    "at most as many values; entropies with the correction of Miller and Madow. Skill: R^2 for numbers; for classes "
    "the recall averaged over the classes, scaled so that chance is 0 and perfect is 1; at least 0, and always on the "
    "half of the items that is not fitted. SAP: skill of one unit, by a linear fit for numbers and by a tree with as "
    f"many leaves as classes. DCI: gradient boosting, {_TREES} trees of depth {_DEPTH}, learning rate {_RATE}, classes "
    "weighted equally; importance is the share of impurity that a unit removes, informativeness is the skill. All "
    "factors have equal weight. Angles count as numbers, although they wrap around, which no unit can follow without "
    "a jump; MIG-without_angles leaves them out."
)
"""The estimators, as the protocol of an evaluation states them."""

ANGLES = ("angle", "orientation")
"""Names of factors that wrap around; MIG is also reported without them."""

Codes = NDArray[np.float32]
Indices = NDArray[np.int64]


class _Factor(NamedTuple):
    """A known factor of each item: a number, or the index of a class that occurs."""

    values: NDArray[Any]
    classes: int
    """Number of classes that occur; 0 if the values are numbers."""


class _Halves(NamedTuple):
    """The items that are fitted on, and those that the fit is tested on."""

    fitted: Indices
    tested: Indices


def disentangled(codes: Tensor, factors: Mapping[str, Column]) -> dict[str, float]:
    """Return MIG (Chen et al. 2018), SAP (Kumar et al. 2018) and DCI (Eastwood and Williams 2018) of codes, N x D.

    Factors that are constant in one half of the items are left out. So are metrics that compare factors or units if
    there is only one. For a single unit, MIG and SAP take 0 as the second best. Data with an angle also has the MIG of
    all other factors.
    """
    units = finite(codes)
    order = torch.randperm(len(units), generator=generator(_SEED, "disentanglement", len(units))).numpy()
    halves = _Halves(*np.array_split(order, 2))
    named = {name: _factor(column) for name, column in factors.items()}
    named = {name: factor for name, factor in named.items() if _varies(factor, halves)}
    known = list(named.values())
    if not known:
        return {}
    gaps = {name: _gap(_information(units, factor)) for name, factor in named.items()}
    skills = [_skills_of_units(units, factor, halves) for factor in known]
    straight = [gap for name, gap in gaps.items() if name not in ANGLES]
    without = {"MIG-without_angles": float(np.mean(straight))} if 0 < len(straight) < len(gaps) else {}
    return {
        "MIG": float(np.mean(list(gaps.values()))),
        **without,
        "SAP": float(np.mean([_gap(scores) for scores in skills])),
        **_dci(units, known, halves),
    }


def information(codes: Tensor, factors: Mapping[str, Column]) -> dict[str, list[float]]:
    """Return the mutual information of each unit and each factor that varies, as a share of the factor's entropy.

    It is adjusted for chance: 0 is what the same unit has about factors in random order, and 1 determines the factor.
    Few items in many bins would otherwise share information by chance.
    """
    units, found = finite(codes), dict[str, list[float]]()
    for name, factor in ((name, _factor(column)) for name, column in factors.items()):
        if len(np.unique(factor.values)) > 1:
            shuffled = [
                _information(units, factor._replace(values=factor.values[order])) for order in _orders(len(units))
            ]
            chances = np.mean(shuffled, 0).tolist()
            shares = zip(_information(units, factor), chances, strict=True)
            found[name] = [max(0.0, (share - chance) / (1 - chance)) for share, chance in shares]
    return found


def _orders(count: int) -> list[Indices]:
    """Return a few random orders of this many items, always the same."""
    draws = generator(_SEED, "information", count)
    return [torch.randperm(count, generator=draws).numpy() for _ in range(_SHUFFLES)]


def mutual_information(first: Indices, second: Indices) -> float:
    """Return the mutual information of two rows of indices in nats, corrected for their number; at least 0."""
    together = first * (int(second.max()) + 1) + second
    return max(0.0, entropy(first) + entropy(second) - entropy(together))


def entropy(indices: Indices) -> float:
    """Return the entropy of the indices in nats, corrected for their number (Miller 1955)."""
    _, counts = np.unique(indices, return_counts=True)
    shares = counts / len(indices)
    return float(-(shares * np.log(shares)).sum()) + (len(counts) - 1) / (2 * len(indices))


def concentration(weights: NDArray[np.float64]) -> float:
    """Return how concentrated each row of weights is on one entry, from 0 to 1, averaged by the weight of the rows."""
    rows = weights[weights.sum(1) > 0]
    if not len(rows):
        return 0.0
    shares = rows / rows.sum(1, keepdims=True)
    entropies = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(1) / np.log(shares.shape[1])
    # Rounding may leave an even row a little below 0.
    return max(0.0, float(np.average(1 - entropies, weights=rows.sum(1))))


def _factor(column: Column) -> _Factor:
    values = column.rows.cpu().numpy()
    if not isinstance(column.kind, Classes):
        return _Factor(values.astype(np.float64), 0)
    found, indices = np.unique(values, return_inverse=True)
    return _Factor(indices, len(found))


def _varies(factor: _Factor, halves: _Halves) -> bool:
    return all(len(np.unique(factor.values[half])) > 1 for half in halves)


def _information(units: Codes, factor: _Factor) -> list[float]:
    """Return the mutual information of each unit and a factor, as a share of the entropy of the factor."""
    indices = _as_indices(factor)
    everything = entropy(indices)
    return [mutual_information(_binned(unit, _CODE_BINS), indices) / everything for unit in units.T]


def _as_indices(factor: _Factor) -> Indices:
    found, indices = np.unique(factor.values, return_inverse=True)
    return indices if factor.classes or len(found) <= _NUMBER_BINS else _binned(factor.values, _NUMBER_BINS)


def _binned(values: NDArray[Any], bins: int) -> Indices:
    """Return the bin of each value, among bins of equal width from the lowest to the highest value."""
    inner = np.linspace(float(values.min()), float(values.max()), bins + 1)[1:-1]
    return np.searchsorted(inner, values, side="right")


def _gap(scores: list[float]) -> float:
    """Return the difference of the best and the second best score; a missing second score is 0."""
    best, second = sorted([*scores, 0.0], reverse=True)[:2]
    return best - second


def _skills_of_units(units: Codes, factor: _Factor, halves: _Halves) -> list[float]:
    from sklearn.linear_model import LinearRegression
    from sklearn.tree import DecisionTreeClassifier

    skills = []
    for unit in units.T:
        # As many leaves as classes need the fewest thresholds that can separate them.
        tree = DecisionTreeClassifier(max_leaf_nodes=max(2, factor.classes), random_state=_SEED)
        skills.append(_skill(tree if factor.classes else LinearRegression(), unit[:, None], factor, halves))
    return skills


def _dci(units: Codes, factors: list[_Factor], halves: _Halves) -> dict[str, float]:
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    skills, importances = [], []
    for factor in factors:
        forest = GradientBoostingClassifier if factor.classes else GradientBoostingRegressor
        trees = forest(n_estimators=_TREES, max_depth=_DEPTH, learning_rate=_RATE, random_state=_SEED)
        skills.append(_skill(trees, units, factor, halves))
        importances.append(trees.feature_importances_)
    of_factors = np.stack(importances)
    found = {}
    if len(factors) > 1:
        found["DCI-disentanglement"] = concentration(of_factors.T)
    if units.shape[1] > 1:
        found["DCI-completeness"] = concentration(of_factors)
    return {**found, "DCI-informativeness": float(np.mean(skills))}


def _skill(predictor: Any, inputs: Codes, factor: _Factor, halves: _Halves) -> float:
    """Return how well a factor is predicted on the half that is not fitted, from 0 for chance to 1."""
    from sklearn.utils.class_weight import compute_sample_weight

    target, truth = (factor.values[half] for half in halves)
    weights = compute_sample_weight("balanced", target) if factor.classes else None
    predicted = predictor.fit(inputs[halves.fitted], target, sample_weight=weights).predict(inputs[halves.tested])
    if not factor.classes:
        return max(0.0, float(1 - ((predicted - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()))
    recalls = [float((predicted[truth == label] == label).mean()) for label in np.unique(truth)]
    chance = 1 / len(recalls)
    return max(0.0, (float(np.mean(recalls)) - chance) / (1 - chance))
