"""Which figures of several runs cannot be held against each other, because they were measured in different ways."""

from collections.abc import Mapping, Sequence

from genlab.comparison.measured import Aspect, Measured

_WORDS = {
    "samples": "how many samples were measured",
    "images": "how many images were measured",
    "importance_samples": "the samples of the bound",
    "seeds": "the seeds",
    "features_digest": "the weights of the features",
    "number of images in it": "the number of images in the split",
}

Difference = dict[str, dict[str, list[str]]]
"""Each aspect that is not the same everywhere, with its values and whose they are."""


def mixed(measured: Mapping[str, Measured]) -> frozenset[str]:
    """The figures that some runs got by other data or another protocol than others."""
    return frozenset(name for name in _names(measured) if _difference(name, measured))


def sentences(measured: Mapping[str, Measured]) -> list[str]:
    """Which figures do not compare and why, those with the same reason together."""
    alike: dict[str, tuple[list[str], Difference]] = {}
    for name in _names(measured):
        if difference := _difference(name, measured):
            # Not every run has every figure: the same values are the same reason.
            same = str({aspect: list(values) for aspect, values in difference.items()})
            names, reason = alike.setdefault(same, ([], difference))
            names.append(name)
            for aspect, values in difference.items():
                for value, runs in values.items():
                    known = reason[aspect][value]
                    known += [run for run in runs if run not in known]
    said = [f"Not comparable: {', '.join(names)}. {_reason(reason)}" for names, reason in alike.values()]
    return [*said, *_other_versions(measured)]


def _names(measured: Mapping[str, Measured]) -> list[str]:
    return list(dict.fromkeys(name for found in measured.values() for name in found.figures))


def _difference(name: str, measured: Mapping[str, Measured]) -> Difference:
    ways = {run: found.aspects[name] for run, found in measured.items() if name in found.figures}
    found: Difference = {}
    for aspect in dict.fromkeys(aspect for way in ways.values() for aspect in way):
        values: dict[Aspect, list[str]] = {}
        for run, way in ways.items():
            values.setdefault(way.get(aspect, Aspect("", "not said")), []).append(run)
        if len(values) > 1:
            found[aspect] = {value.shown: runs for value, runs in values.items()}
    return found


def _reason(difference: Difference) -> str:
    parts = []
    for aspect, values in difference.items():
        whose = "; ".join(f"{shown} for {_listed(runs)}" for shown, runs in values.items())
        parts.append(f"{_WORDS.get(aspect, f'the {aspect}')} ({whose})")
    return f"What differs is {' and '.join(parts)}."


def _listed(runs: Sequence[str], most: int = 3) -> str:
    return ", ".join(runs) if len(runs) <= most + 1 else f"{', '.join(runs[:most])} and {len(runs) - most} more"


def _other_versions(measured: Mapping[str, Measured]) -> list[str]:
    """The figures stand, but not to the last digit."""
    used: dict[str, set[str]] = {}
    for found in measured.values():
        for library, version in found.versions.items():
            used.setdefault(library, set()).add(version)
    other = [f"{library} ({', '.join(sorted(found))})" for library, found in used.items() if len(found) > 1]
    return (
        [f"Measured by different versions of {', '.join(other)}; the last digits may be due to that."] if other else []
    )
