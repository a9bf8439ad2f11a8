"""The settings of a run beside those of its recipe, and the commands that give the run again."""

import shlex
from collections.abc import Callable
from typing import Any

from genlab.comparison.compare import run_settings
from genlab.comparison.differing import RunSettings, text
from genlab.evaluation import record as records
from genlab.registry import ConfigError
from genlab.runs.run import Run

_NEVER_CHANGED = ("run", "device", "devices", "plugins", "start", "seed")
_GROUPS = ("model", "data", "model.network", "model.features")


def read_settings(run: Run, read: Callable[[Run], RunSettings] = run_settings) -> dict[str, Any]:
    """Return all settings of a run as texts, those that differ from the recipe, and the names of its recipes.

    If they cannot be read, there is only the error.

    A recipe that is not here, such as that of a plugin, has no settings to compare with.
    """
    try:
        found = read(run)
    except ConfigError as error:
        return {"all": [], "changed": [], "known": False, "names": {}, "error": str(error)}
    known, changed = bool(found.recipe), []
    for key, value in found.settings.items():
        usual = text(found.recipe[key]) if key in found.recipe else "not set"
        if known and key not in _NEVER_CHANGED and text(value) != usual:
            changed.append({"key": key, "value": text(value), "usual": usual})
    every = [{"key": key, "value": text(value)} for key, value in found.settings.items()]
    names = {key: text(found.settings[f"{key}.name"]) for key in _GROUPS if f"{key}.name" in found.settings}
    return {"all": every, "changed": changed, "known": known, "names": names, "error": None}


def commands(run: Run, settings: dict[str, Any]) -> list[dict[str, str]]:
    """Return the commands that give the run again, each with what it does."""
    facts, found = run.facts, []
    if command := facts.get("command"):
        several = {"-m", "--multirun"} & set(_words(str(command)))
        found.append({"does": "Trained by" + (" this sweep" if several else ""), "command": str(command)})
        if several and settings["known"]:
            found.append({"does": "The same run alone", "command": _alone(settings)})
    if evaluation := _evaluation(run):
        found.append({"does": "Measured by", "command": evaluation})
    else:
        found.append({"does": "Measure it", "command": f"genlab evaluate {shlex.quote(str(run.path))}"})
    found.append({"does": "Write this report", "command": f"genlab report {shlex.quote(str(run.path))}"})
    return found


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _alone(settings: dict[str, Any]) -> str:
    values = {one["key"]: one["value"] for one in settings["all"]}
    groups = [f"{key.replace('.', '/')}={name}" for key, name in settings["names"].items()]
    changed = [f"{one['key']}={one['value']}" for one in settings["changed"] if not one["key"].endswith(".name")]
    seed = [f"seed={values['seed']}"] if values.get("seed", "0") != "0" else []
    return shlex.join(["genlab", "train", *groups, *changed, *seed])


def _evaluation(run: Run) -> str | None:
    """Return the command that measures as the run's evaluation did, as far as its protocol says."""
    record = records.read(run)
    parts = record.get("parts") if record else None
    if not isinstance(parts, dict) or not parts:
        return None
    samples: dict[str, Any] = next((part for name, part in parts.items() if name.startswith("sample")), {})
    some = [part for part in parts.values() if isinstance(part, dict)]
    options = {
        "--count": samples.get("samples"),
        "--images": next((part["items"] for part in some if "items" in part), None),
        "--draws": next((part["draws"] for part in some if "draws" in part), None),
        "--importance": next((part["importance_samples"] for part in some if "importance_samples" in part), None),
        "--features": samples.get("features"),
    }
    given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return shlex.join(["genlab", "evaluate", str(run.path), *given])
