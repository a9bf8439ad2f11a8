"""Turn a name and settings into an object; the signature of a class is the schema of its settings."""

import dataclasses
import difflib
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class ConfigError(Exception):
    """A mistake of the user: the message says what is wrong, where, and what to do."""


class RunError(Exception):
    """A failure of a run that no config caused, such as a loss that is not finite."""


class _WrongTypeError(Exception):
    """A value of a wrong type; the message is a noun phrase for the right type, such as `an integer`."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean 'x'? ", or an empty text if no known name is similar."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    near = near or difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}? " if near else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a name that does not exist."""
    names = sorted(known)
    return ConfigError(f"Unknown {kind} {name!r}. {suggestion(name, names)}Available: {', '.join(names) or 'none'}")


def pick(kind: str, name: str, table: Mapping[str, T]) -> T:
    """Return an entry of a table; raise a ConfigError with the most similar name if there is none."""
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
    """Build the class that `settings["class"]` names in the table, by default the class called `name`.

    Facts are arguments that come from the program and not from a YAML file. `beside` are settings that stand in the
    same section of the YAML but belong to another class; only an error message needs them.
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
    except (RuntimeError, MemoryError, OverflowError) as error:  # torch raises these if a number is too large
        reason = str(error).strip().splitlines() or ["not enough memory"]
        raise ConfigError(f"{label} cannot be built with these settings: {reason[0]}") from error


def schema(factory: Callable[..., Any], facts: Iterable[str] = ()) -> dict[str, Any]:
    """Return the type of each setting that a class or a function takes, without the facts."""
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
    """Return the settings, converted to the types of the signature.

    Raise a ConfigError if a setting is unknown, missing or of a wrong type.
    """
    types_of = schema(factory, given)
    for name in settings:
        if name not in types_of:
            known = [*types_of, *beside]
            error = f"{label} has no setting {name!r}. {suggestion(name, known)}"
            raise ConfigError(f"{error}Available: {', '.join(known) or 'none'}")
    parameters = inspect.signature(factory).parameters
    for name in types_of:
        if name not in settings and parameters[name].default is inspect.Parameter.empty:
            raise ConfigError(f"{label} needs the setting {name!r}.")
    return {name: convert(label, name, value, types_of[name]) for name, value in settings.items()}


def convert(label: str, name: str, value: Any, kind: Any) -> Any:
    """Convert a value to the type `kind`; raise a ConfigError if that is not possible."""
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        factory: Callable[..., Any] = kind if isinstance(kind, type) else type(kind)
        return factory(**check(f"{label}: {name}", factory, value))
    try:
        return _convert(value, kind)
    except _WrongTypeError as error:
        raise ConfigError(f"{label}: {name} must be {error}, got {_written(value)}.{_hint(value, kind)}") from None


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
    bool: ("true or false", "true or false values"),
    type(None): ("null", "nulls"),
}


def _written(value: Any) -> str:
    """Return a value as YAML writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _hint(value: Any, kind: Any) -> str:
    choices = [str(choice) for choice in get_args(kind)] if get_origin(kind) is Literal else []
    return f" {suggestion(value, choices)}".rstrip() if isinstance(value, str) else ""
