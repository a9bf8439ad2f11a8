"""The registry's messages, word for word."""

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
            raise ConfigError(f"size must be at least 1, and {size} is not.")
        self.settings = (shape, size, rate, kind, hidden, betas, on, name)


TABLE = {"thing": Thing, "think": Thing}


def made(**settings: Any) -> Thing:
    return build("model", "thing", TABLE, {"size": 2, **settings}, shape=(1, 1), classes=10)


def test_settings_arrive_as_the_types_of_the_signature() -> None:
    thing = made(rate=1, hidden=[3], betas=[0, 0.5], on=True, name="x", kind="square")
    assert thing.settings == ((1, 1), 2, 1.0, "square", [3], (0.0, 0.5), True, "x")
    assert isinstance(thing.settings[2], float)
    assert made(hidden=None).settings[4] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"sizes": 3},
            "model 'thing' has no setting 'sizes'. Did you mean 'size'? "
            "It takes: size, rate, kind, hidden, betas, on, name",
        ),
        (
            {"shape": 3},
            "model 'thing' has no setting 'shape'. It takes: size, rate, kind, hidden, betas, on, name",
        ),
        ({"size": "ten"}, "model 'thing': size must be an integer, and 'ten' is not one."),
        ({"size": 2.5}, "model 'thing': size must be an integer, and 2.5 is not one."),
        ({"size": True}, "model 'thing': size must be an integer, and true is not one."),
        ({"size": None}, "model 'thing': size must be an integer, and null is not one."),
        ({"size": 0}, "model 'thing': size must be at least 1, and 0 is not."),
        ({"rate": "fast"}, "model 'thing': rate must be a number, and 'fast' is not one."),
        (
            {"kind": "rund"},
            "model 'thing': kind must be one of round, square, and 'rund' is not. Did you mean 'round'?",
        ),
        ({"hidden": [1, "a"]}, "model 'thing': hidden must be a list of integers or null, and [1, 'a'] is not."),
        ({"betas": [0.5]}, "model 'thing': betas must be a list of 2 numbers, and [0.5] is not."),
        ({"on": "yes"}, "model 'thing': on must be true or false, and 'yes' is not."),
        ({"name": 3}, "model 'thing': name must be a text, and 3 is not one."),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(**settings)
    assert str(caught.value) == message


def test_a_setting_without_a_default_must_be_given() -> None:
    with pytest.raises(ConfigError, match="^model 'thing' needs the setting 'size'.$"):
        build("model", "thing", TABLE, {}, shape=(1, 1))


def test_an_unknown_name_is_told_the_nearest_and_all() -> None:
    with pytest.raises(
        ConfigError, match="^No model class is called 'thin'. Did you mean 'think'\\? Known: thing, think$"
    ):
        build("model", "mine", TABLE, {"class": "thin"})


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert suggestion("zebra", ["thing"]) == ""


def test_a_nested_dataclass_is_checked_like_any_signature() -> None:
    @dataclass
    class Inner:
        depth: int

    def factory(*, inner: Inner) -> None: ...

    with pytest.raises(ConfigError, match="x: inner has no setting 'dept'. Did you mean 'depth'"):
        check("x", factory, {"inner": {"dept": 3}})
