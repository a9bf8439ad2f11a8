"""Confidence intervals agree with scipy's."""

import pytest
from scipy import stats

from genlab.metrics.intervals import interval, t_cdf, t_quantile
from genlab.registry import ConfigError

BEFORE, AFTER = [80.1, 79.5, 81.2, 80.7, 78.9], [82.3, 80.9, 82.2, 83.1, 81.7]


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 10, 31, 200])
def test_quantiles_and_probabilities_of_the_t_distribution_are_scipys(degrees: int) -> None:
    for probability in (0.5, 0.9, 0.975, 0.9995):
        assert t_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-9, abs=1e-12)
    for value in (0.0, 0.3, 2.0, 40.0):
        assert t_cdf(value, degrees) == pytest.approx(stats.t.cdf(value, degrees), rel=1e-12)


@pytest.mark.parametrize(("pairs", "confidence"), [(2, 0.95), (3, 0.95), (5, 0.8)])
def test_an_interval_of_differences_is_that_of_the_paired_t_test(pairs: int, confidence: float) -> None:
    before, after = BEFORE[:pairs], AFTER[:pairs]
    found = interval([new - old for old, new in zip(before, after, strict=True)], confidence)
    low, high = stats.ttest_rel(after, before).confidence_interval(confidence)
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)
    assert found.mean == pytest.approx((low + high) / 2)


def test_one_value_has_no_interval_and_no_value_no_mean() -> None:
    assert interval([1.5]) == (1.5, None, None)
    with pytest.raises(ConfigError, match="at least one value"):
        interval([])
    with pytest.raises(ConfigError, match=r"got 1 and 3"):
        t_quantile(1.0, 3)
