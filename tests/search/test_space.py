"""Ranges in Hydra's syntax become the distributions of Optuna."""

import math

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)

from genlab.config import compose
from genlab.registry import ConfigError
from genlab.search.decisions import combinations
from hydra_plugins.genlab_search import distribution, space_of


def parsed(text: str) -> BaseDistribution:
    return distribution(OverridesParser.create().parse_override(f"model.a={text}"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(0.25,8)", FloatDistribution(0.25, 8.0)),
        # Hydra reads numbers of an interval as fractions, unless they are cast.
        ("interval(1,8)", FloatDistribution(1.0, 8.0)),
        ("int(interval(2,64))", IntDistribution(2, 64)),
        ("tag(log,interval(1e-4,1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
        ("tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("range(8,64,8)", IntDistribution(8, 56, step=8)),
        ("range(8,65,8)", IntDistribution(8, 64, step=8)),
        ("range(5,0,-2)", IntDistribution(1, 5, step=2)),
        ("range(0,1,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("a,b,c", CategoricalDistribution(["a", "b", "c"])),
        ("choice(1,2.5,true)", CategoricalDistribution(["1", "2.5", "true"])),
        ("null,0.5", CategoricalDistribution(["null", "0.5"])),
        ("[400],[200,200]", CategoricalDistribution(["[400]", "[200,200]"])),
        ("'a b',\"c,d\"", CategoricalDistribution(["'a b'", '"c,d"'])),
    ],
)
def test_ranges_become_distributions(text: str, expected: BaseDistribution) -> None:
    found = parsed(text)
    check_distribution_compatibility(found, expected)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("interval(3,3)", "an interval begins below its end"),
        ("tag(log,interval(0,1))", "a logarithmic interval begins above 0"),
        ("tag(lgo,interval(1,2))", "Did you mean 'log'?"),
        ("tag(log,range(1,9))", "takes an interval"),
        ("range(3,1)", "the range is empty"),
        ("choice(1)", "give at least two different values"),
        ("glob(*)", "List the names"),
    ],
)
def test_ranges_that_make_no_sense_are_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence.replace("(", r"\(").replace("?", r"\?")):
        parsed(text)


def test_a_space_without_intervals_has_a_number_of_different_trials() -> None:
    lists = {"a": parsed("1,2,3"), "b": parsed("range(8,65,8)"), "c": parsed("range(0,1,0.25)")}
    assert combinations(lists) == 3 * 8 * 4
    assert combinations({**lists, "d": parsed("interval(0,1)")}) == math.inf


def test_recipes_and_settings_are_searched_under_the_names_that_a_user_types() -> None:
    fixed, ranges = compose.searched(["model.network=mlp,conv", "trainer.steps=range(5,20,5)", "seed=3"])
    assert list(space_of(ranges)) == ["model/network", "trainer.steps"]
    # The epochs of the recipe do not apply to a trial with its own steps.
    assert fixed == ["seed=3", "trainer.epochs=null"]
    assert compose.searched(["model.beta=interval(1,2)", "trainer.steps=5"])[0] == ["trainer.steps=5"]
