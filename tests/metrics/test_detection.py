"""Anomaly detection: its measures against scikit-learn, its threshold on planted data, its distances by hand."""

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from genlab.metrics.detection import (
    Neighbours,
    Standard,
    auroc,
    average_precision,
    calibrate,
    smooth_errors,
)
from genlab.registry import ConfigError


@pytest.mark.parametrize("levels", [3, 10_000], ids=["many ties", "no ties"])
def test_auroc_and_average_precision_are_those_of_scikit_learn(levels: int) -> None:
    draws = torch.Generator().manual_seed(levels)
    for size in (2, 50, 700):
        scores = torch.randint(levels, (size,), generator=draws).float() / 7
        anomalous = torch.rand(size, generator=draws) < 0.3
        anomalous[:2] = torch.tensor([True, False])
        assert auroc(scores, anomalous) == pytest.approx(roc_auc_score(anomalous, scores))
        assert average_precision(scores, anomalous) == pytest.approx(average_precision_score(anomalous, scores))


def test_a_detector_of_equal_scores_is_at_chance_and_one_class_alone_is_refused() -> None:
    anomalous = torch.tensor([True, False, False, False])
    assert auroc(torch.zeros(4), anomalous) == 0.5
    assert average_precision(torch.zeros(4), anomalous) == 0.25
    with pytest.raises(ConfigError, match="Both normal items and anomalies are needed"):
        auroc(torch.zeros(4), torch.ones(4, dtype=torch.bool))


def test_a_calibrated_threshold_keeps_its_rate_of_false_alarms_on_average() -> None:
    draws, rates = torch.Generator().manual_seed(0), list[float]()
    for _ in range(3000):
        normal = torch.randn(39, generator=draws).exp()
        # The probability of a new item above the threshold is known: no second sample is needed.
        above = 1 - torch.special.ndtr(torch.tensor(calibrate(normal, 0.1).threshold).log())
        rates.append(float(above))
    spread = torch.tensor(rates).std()
    # Place 36 of 39: the rate is 4/40 on average. Without the correction for finite samples it would be 5/40.
    assert sum(rates) / len(rates) == pytest.approx(0.1, abs=4 * float(spread) / 3000**0.5)
    assert calibrate(torch.rand(39), 0.1).std == pytest.approx(float(spread), rel=0.05)


def test_the_threshold_is_the_right_one_of_the_ordered_scores() -> None:
    scores = torch.arange(1.0, 100.0)[torch.randperm(99, generator=torch.Generator().manual_seed(1))]
    assert [calibrate(scores, rate).threshold for rate in (0.01, 0.05, 0.5)] == [99, 95, 50]
    with pytest.raises(ConfigError, match=r"99 normal items give no threshold .* must be at least 0.01"):
        calibrate(scores, 0.009)
    for rate in (0, 1, -0.1, 5, float("nan"), True):
        with pytest.raises(ConfigError, match="must be above 0 and below 1"):
            calibrate(scores, rate)


def test_smooth_errors_forgive_fine_texture_and_not_a_missing_area() -> None:
    truth = torch.zeros(2, 1, 12, 12)
    rows, columns = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    truth[0, 0] = ((rows + columns) % 2).float()
    truth[1, 0, :, :6] = 1
    grey = torch.full_like(truth[:1], 0.5)
    texture, area = smooth_errors(torch.cat([grey, torch.zeros_like(truth[:1])]), truth).tolist()
    # Plain errors are 0.25 and 0.5. In the middle, nine pixels of a chessboard average to +-1/18; at a side six of them
    # to 0, and in a corner four to 0.
    assert texture == pytest.approx((0.5 / 9) ** 2 * 100 / 144)
    assert area == pytest.approx((5 + (2 / 3) ** 2 + (1 / 3) ** 2) / 12)


def test_neighbours_are_those_of_a_search_by_hand_and_no_item_is_its_own() -> None:
    draws = torch.Generator().manual_seed(2)
    training, items = torch.randn(40, 3, generator=draws), torch.randn(9, 3, generator=draws)
    found = Neighbours(training)
    by_hand = torch.stack([(training - item).norm(dim=1).sort().values[:5].mean() for item in items])
    assert torch.allclose(found.distances(items), by_hand, atol=1e-5)
    among = torch.stack([(training - item).norm(dim=1).sort().values[1:6].mean() for item in training])
    assert torch.allclose(found.distances(training, training=True), among, atol=1e-3)


def test_whitened_distances_do_not_depend_on_the_scale_or_the_direction_of_the_codes() -> None:
    draws = torch.Generator().manual_seed(3)
    training, items = torch.randn(200, 4, generator=draws), torch.randn(20, 4, generator=draws)
    change = torch.tensor([[3.0, 0.5, 0, 0], [0, 0.2, 0, 1], [0, 0, 2, 0], [0.1, 0, 0, 1]])
    plain = Neighbours(training, whiten=True).distances(items)
    changed = Neighbours(training @ change + 7, whiten=True).distances(items @ change + 7)
    assert torch.allclose(plain, changed, rtol=1e-3)
    # A unit that never varies in training has no scale, and is left out.
    still = torch.cat([training, torch.ones(200, 1)], 1)
    assert torch.allclose(
        plain, Neighbours(still, whiten=True).distances(torch.cat([items, torch.zeros(20, 1)], 1)), rtol=1e-3
    )


def test_standard_scores_count_in_stds_of_the_logarithm() -> None:
    training = torch.tensor([1.0, 2.0, 4.0, 8.0])
    standard = Standard(training)
    assert float(standard(training).mean()) == pytest.approx(0, abs=1e-9)
    assert float(standard(training).std()) == pytest.approx(1)
    assert bool(standard(torch.zeros(1)).isfinite().all())
