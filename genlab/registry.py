"""A name becomes an object, its settings checked against the signature that is their schema; ConfigError."""

import dataclasses
import difflib
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class ConfigError(Exception):
    """The user's mistake: what is wrong, where it stands and what would be right."""


class RunError(Exception):
    """A run cannot go on through no mistake in its config: a loss that is not finite."""


class _WrongTypeError(Exception):
    """Carries the noun phrase for what was expected."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """The words "Did you mean 'x'? ", or nothing where no known name is near."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    near = near or difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}? " if near else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that nothing has."""
    names = sorted(known)
    return ConfigError(f"No {kind} is called {name!r}. {suggestion(name, names)}Known: {', '.join(names)}")


def pick(kind: str, name: str, table: Mapping[str, T]) -> T:
    """The entry of a table, or an error that names the nearest one."""
    if not isinstance(name, str) or name not in table:
        raise unknown(kind, name, table)
    return table[name]


def build(
    kind: str,
    name: str,
    table: Mapping[str, Callable[..., T]],
    settings: Mapping[str, Any],
    beside: Iterable[str] = (),
    **facts: Any,
) -> T:
    """Build what `settings["class"]` names in the table.

    Facts are what the program knows and no YAML repeats; `beside` are settings that the user may mean, taken elsewhere.
    """
    settings = dict(settings)
    factory = pick(f"{kind} class", settings.pop("class", name), table)
    label = f"{kind} {name!r}"
    wanted = {key: value for key, value in facts.items() if key in inspect.signature(factory).parameters}
    checked = check(label, factory, settings, given=wanted, beside=beside)
    try:
        return factory(**checked, **wanted)
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{label}: {error}") from None
    except (RuntimeError, MemoryError, OverflowError) as error:  # torch's ways to say that a number is too large
        reason = str(error).strip().splitlines() or ["not enough memory"]
        raise ConfigError(f"{label} cannot be built so: {reason[0]}") from error


def schema(factory: Callable[..., Any], facts: Iterable[str] = ()) -> dict[str, Any]:
    """Each setting that a factory takes, with its type."""
    function = factory.__init__ if inspect.isclass(factory) else factory
    hints = get_type_hints(function)
    names = inspect.signature(factory).parameters
    return {name: hints.get(name, Any) for name in names if name not in facts}


def check(
    label: str,
    factory: Callable[..., Any],
    settings: Mapping[str, Any],
    given: Iterable[str] = (),
    beside: Iterable[str] = (),
) -> dict[str, Any]:
    """The settings as the factory's own types; a ConfigError where one is unknown, missing or of a wrong type."""
    types_of = schema(factory, given)
    for name in settings:
        if name not in types_of:
            takes = [*types_of, *beside]
            said = f"{label} has no setting {name!r}. {suggestion(name, takes)}"
            raise ConfigError(f"{said}It takes: {', '.join(takes) or 'none'}")
    parameters = inspect.signature(factory).parameters
    for name in types_of:
        if name not in settings and parameters[name].default is inspect.Parameter.empty:
            raise ConfigError(f"{label} needs the setting {name!r}.")
    return {name: convert(label, name, value, types_of[name]) for name, value in settings.items()}


def convert(label: str, name: str, value: Any, kind: Any) -> Any:
    """The value as the type that the schema gives it."""
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        factory: Callable[..., Any] = kind if isinstance(kind, type) else type(kind)
        return factory(**check(f"{label}: {name}", factory, value))
    try:
        return _convert(value, kind)
    except _WrongTypeError as error:
        raise ConfigError(
            f"{label}: {name} must be {error}, and {_shown(value)} is not{_tail(kind)}.{_hint(value, kind)}"
        ) from None


def _convert(value: Any, kind: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(value, arguments)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise _WrongTypeError(("one of " if len(arguments) > 1 else "") + ", ".join(map(str, arguments)))
        return value
    if origin in (list, tuple):
        return _convert_sequence(value, origin, arguments)
    return _convert_scalar(value, kind)


def _convert_union(value: Any, kinds: tuple[Any, ...]) -> Any:
    if value is None and type(None) in kinds:
        return None
    expected = []
    for kind in kinds:
        try:
            return _convert(value, kind)
        except _WrongTypeError as error:
            expected.append(str(error))
    raise _WrongTypeError(" or ".join(expected))


def _convert_sequence(value: Any, origin: type, kinds: tuple[Any, ...]) -> Any:
    kinds = tuple(kind for kind in kinds if kind is not Ellipsis)
    among = f"any of {', '.join(map(str, get_args(kinds[0])))}" if get_origin(kinds[0]) is Literal else "values"
    plural = _NOUNS.get(kinds[0], ("", among))[1]
    fixed = origin is tuple and len(kinds) > 1
    expected = f"a list of {len(kinds)} {plural}" if fixed else f"a list of {plural}"
    if not isinstance(value, (list, tuple)) or (fixed and len(value) != len(kinds)):
        raise _WrongTypeError(expected)
    try:
        return origin(_convert(item, kinds[0]) for item in value)
    except _WrongTypeError:
        raise _WrongTypeError(expected) from None


def _convert_scalar(value: Any, kind: Any) -> Any:
    if kind is type(None):
        matches = value is None
    elif kind is float:
        matches = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST
    elif kind is int:
        matches = isinstance(value, int) and not isinstance(value, bool)
    else:
        matches = isinstance(value, kind)
    if not matches:
        raise _WrongTypeError(_NOUNS.get(kind, (f"a {getattr(kind, '__name__', kind)}", ""))[0])
    return float(value) if kind is float else value


_LARGEST = sys.float_info.max
_NOUNS: dict[Any, tuple[str, str]] = {
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    bool: ("true or false", "truth values"),
    type(None): ("null", "nulls"),
}


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _hint(value: Any, kind: Any) -> str:
    choices = [str(choice) for choice in get_args(kind)] if get_origin(kind) is Literal else []
    return f" {suggestion(value, choices)}".rstrip() if isinstance(value, str) else ""


def _tail(kind: Any) -> str:
    """`is not one` reads well after `an integer`, but not after a list of choices."""
    return " one" if kind in (int, float, str) else ""
