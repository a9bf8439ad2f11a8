"""Abilities of a run's model, and the error for everything else."""

from collections.abc import Iterable

from genlab.registry import ConfigError
from genlab.runs.run import Run


def cannot(run: Run, ability: str, abilities: Iterable[str], advice: str = "") -> ConfigError:
    """Return the error for a model that lacks an ability."""
    able = list(abilities)
    listed = " and ".join(filter(None, [", ".join(able[:-1]), *able[-1:]]))
    sentence = f"{run.path} ({run.facts.get('name')}) cannot {ability}; it can {listed or 'do nothing of that kind'}."
    return ConfigError(f"{sentence} {advice}".rstrip())
