"""Tests of the registry: settings are converted and checked, and its messages are word for word these."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from genlab.registry import ConfigError, build, check, suggestion


class Thing:
    def __init__(
        self,
        *,
        shape: tuple[int, int],
        size: int,
        rate: float = 0.1,
        kind: Literal["round", "square"] = "round",
        hidden: list[int] | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        on: bool = False,
        name: str = "",
    ) -> None:
        if size < 1:
            raise ConfigError(f"size must be at least 1, got {size}.")
        self.settings = (shape, size, rate, kind, hidden, betas, on, name)


TABLE = {"thing": Thing, "think": Thing}


def built(**settings: Any) -> Thing:
    return build("model", "thing", TABLE, {"size": 2, **settings}, shape=(1, 1), classes=10)


def test_settings_arrive_as_the_types_of_the_signature() -> None:
    thing = built(rate=1, hidden=[3], betas=[0, 0.5], on=True, name="x", kind="square")
    assert thing.settings == ((1, 1), 2, 1.0, "square", [3], (0.0, 0.5), True, "x")
    assert isinstance(thing.settings[2], float)
    assert built(hidden=None).settings[4] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"sizes": 3},
            "model 'thing' has no setting 'sizes'. Did you mean 'size'? "
            "Available: size, rate, kind, hidden, betas, on, name",
        ),
        (
            {"shape": 3},
            "model 'thing' has no setting 'shape'. Available: size, rate, kind, hidden, betas, on, name",
        ),
        ({"size": "ten"}, "model 'thing': size must be an integer, got 'ten'."),
        ({"size": 2.5}, "model 'thing': size must be an integer, got 2.5."),
        ({"size": True}, "model 'thing': size must be an integer, got true."),
        ({"size": None}, "model 'thing': size must be an integer, got null."),
        ({"size": 0}, "model 'thing': size must be at least 1, got 0."),
        ({"rate": "fast"}, "model 'thing': rate must be a number, got 'fast'."),
        (
            {"kind": "rund"},
            "model 'thing': kind must be one of round, square, got 'rund'. Did you mean 'round'?",
        ),
        ({"hidden": [1, "a"]}, "model 'thing': hidden must be a list of integers or null, got [1, 'a']."),
        ({"betas": [0.5]}, "model 'thing': betas must be a list of 2 numbers, got [0.5]."),
        ({"on": "yes"}, "model 'thing': on must be true or false, got 'yes'."),
        ({"name": 3}, "model 'thing': name must be a text, got 3."),
    ],
)
def test_an_error_names_the_setting_what_it_got_and_what_is_right(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(**settings)
    assert str(caught.value) == message


def test_a_setting_without_a_default_is_required() -> None:
    with pytest.raises(ConfigError, match="^model 'thing' needs the setting 'size'.$"):
        build("model", "thing", TABLE, {}, shape=(1, 1))


def test_an_unknown_name_is_refused_with_the_most_similar_and_all_available_names() -> None:
    with pytest.raises(
        ConfigError, match="^Unknown model class 'thin'. Did you mean 'think'\\? Available: thing, think$"
    ):
        build("model", "mine", TABLE, {"class": "thin"})


def test_nothing_is_suggested_if_no_name_is_similar() -> None:
    assert suggestion("zebra", ["thing"]) == ""


def test_a_nested_dataclass_is_checked_like_any_signature() -> None:
    @dataclass
    class Inner:
        depth: int

    def factory(*, inner: Inner) -> None: ...

    with pytest.raises(ConfigError, match="x: inner has no setting 'dept'. Did you mean 'depth'"):
        check("x", factory, {"inner": {"dept": 3}})


def test_settings_of_another_class_in_the_same_section_are_listed_as_available() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'optimizers'\\? Available: size, .*, optimizers$"):
        build("model", "thing", TABLE, {"size": 2, "optimizer": 1}, ["optimizers"], shape=(1, 1))


def test_an_error_of_torch_becomes_a_config_error() -> None:
    def huge(*, size: int) -> None:
        raise RuntimeError("not enough memory: you tried to allocate 8 bytes\nand more")

    with pytest.raises(ConfigError) as caught:
        build("model", "huge", {"huge": huge}, {"size": 2})
    sentence = "model 'huge' cannot be built with these settings: not enough memory: you tried to allocate 8 bytes"
    assert str(caught.value) == sentence
