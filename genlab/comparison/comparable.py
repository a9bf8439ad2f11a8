"""Finds metrics that do not compare because the runs measured them in different ways."""

from collections.abc import Mapping, Sequence

from genlab.comparison.measured import DATA, MODELLED, Aspect, Measured

_WORDS = {
    "samples": "the number of samples",
    "items": "the number of items",
    "importance_samples": "the number of samples of the bound",
    "features_digest": "the weights of the features",
    "number of items in it": "the number of items in the split",
    MODELLED: "the data",
}

Difference = dict[str, dict[str, list[str]]]
"""Each aspect that differs, with its values and the runs that have them."""


def mixed(measured: Mapping[str, Measured]) -> frozenset[str]:
    """Return the metrics that some runs measured on other data or by another protocol."""
    return frozenset(name for name in _names(measured) if _difference(name, measured))


def sentences(measured: Mapping[str, Measured]) -> list[str]:
    """Return a sentence for each reason why metrics do not compare, with all metrics that it holds for."""
    groups: dict[str, tuple[list[str], Difference]] = {}
    for name in _names(measured):
        if difference := _difference(name, measured):
            # Not every run has every metric: the same values are the same reason.
            same = str({aspect: list(values) for aspect, values in difference.items()})
            names, reason = groups.setdefault(same, ([], difference))
            names.append(name)
            for aspect, values in difference.items():
                for value, runs in values.items():
                    known = reason[aspect][value]
                    known += [run for run in runs if run not in known]
    notes = [f"Not comparable: {', '.join(names)}. {_reason(reason)}" for names, reason in groups.values()]
    return [*notes, *_other_versions(measured)]


def _names(measured: Mapping[str, Measured]) -> list[str]:
    return list(dict.fromkeys(name for found in measured.values() for name in found.metrics))


def _difference(name: str, measured: Mapping[str, Measured]) -> Difference:
    ways = {run: found.aspects[name] for run, found in measured.items() if name in found.metrics}
    # Labels are part of the data only for metrics that read them.
    ignored = MODELLED if any(name in found.labelled for found in measured.values()) else DATA
    found: Difference = {}
    for aspect in dict.fromkeys(aspect for way in ways.values() for aspect in way if aspect != ignored):
        values: dict[Aspect, list[str]] = {}
        for run, way in ways.items():
            values.setdefault(way.get(aspect, Aspect("", "not known")), []).append(run)
        if len(values) > 1:
            found[aspect] = {value.shown: runs for value, runs in values.items()}
    return found


def _reason(difference: Difference) -> str:
    parts = []
    for aspect, values in difference.items():
        whose = "; ".join(f"{shown} for {_listed(runs)}" for shown, runs in values.items())
        parts.append(f"{_WORDS.get(aspect, f'the {aspect}')} ({whose})")
    return f"The difference: {' and '.join(parts)}."


def _listed(runs: Sequence[str], most: int = 3) -> str:
    return ", ".join(runs) if len(runs) <= most + 1 else f"{', '.join(runs[:most])} and {len(runs) - most} more"


def _other_versions(measured: Mapping[str, Measured]) -> list[str]:
    """Return a note if library versions differ, which changes metrics only in the last digits."""
    used: dict[str, set[str]] = {}
    for found in measured.values():
        for library, version in found.versions.items():
            used.setdefault(library, set()).add(version)
    other = [f"{library} ({', '.join(sorted(found))})" for library, found in used.items() if len(found) > 1]
    if not other:
        return []
    return [f"Measured with different versions of {', '.join(other)}; the last digits may differ for that reason."]
