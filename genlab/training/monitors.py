"""Monitors that read the lines of a journal and warn of a training that has gone wrong."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Line = Mapping[str, Any]

_ALIKE, _CERTAIN, _ACTIVE, _UNUSED = 0.2, 0.99, 0.1, 0.5
_LINES, _STEPS = 3, 1000
"""The number of lines, and the steps from the first to the last of them, for which a value must be bad."""

COLLAPSED = (
    "Mode collapse: generated samples differ less than a fifth as much as real items do, and they do not grow apart; "
    "try model.r1=1 or model.penalty=10, both with model.discriminator_normalization=layer, "
    "or another model.optimizers.generator.lr."
)
MODES_DROPPED = (
    "Mode dropping: for long, samples have shown some classes less than a tenth as often as the data does "
    "(classes_missing is their number, and `genlab evaluate` names them); try a larger trainer.batch_size, model.r1=1 "
    "or model.penalty=10, both with model.discriminator_normalization=layer, if the model has these settings, or a "
    "model that is told the class, such as cgan."
)
DISCRIMINATOR_WON = (
    "The discriminator has won: it recognises more than 99% of the real and of the generated items, so the generator "
    "learns little; try a lower model.optimizers.discriminator.lr, or model.instance_noise=0.1 or "
    "model.augment=[translation] if the model has these settings."
)
POSTERIOR_COLLAPSED = (
    "Collapsed codes: fewer than a tenth of the units of the code vary from item to item, so codes say little about "
    "the items (posterior collapse); try a lower model.beta or model.sparsity, or model.kl_warmup=2000 or "
    "model.free_bits=0.1, if the model has these settings."
)
CODES_UNUSED = (
    "Dead codes: more than half of the entries of the codebook are unused; try fewer model.codes or a larger "
    "model.restart."
)


def warning(lines: Sequence[Line]) -> str | None:
    """Return one sentence about what has gone wrong and what to try, or None."""
    return next((sentence for sentence, wrong in _RULES.items() if wrong(lines)), None)


def collapsed(lines: Sequence[Line]) -> bool:
    """Return True if samples have long been alike and do not grow apart; at the start they always are alike."""
    found = [line["diversity"] for line in _lasting(lines, "validation", _samples_are_alike)]
    return bool(found) and found[-1] <= 1.05 * found[0]


def modes_dropped(lines: Sequence[Line]) -> bool:
    """Return True if samples have long lacked classes, and the newest ones do not lack fewer; at first they lack many.

    Only validations that have measured it count.
    """
    measured = [line for line in lines if "classes_missing" in line]
    found = [line["classes_missing"] for line in _lasting(measured, "validation", _classes_are_missing)]
    return bool(found) and found[-1] >= found[-_LINES]


def discriminator_won(lines: Sequence[Line]) -> bool:
    """Return True if the discriminator has been right about nearly all items for long.

    Only training counts. In validation, batch normalisation uses its running statistics instead of those of the
    batch, so a discriminator is less accurate there. Wasserstein models log `distance` and no accuracies.
    """
    return bool(_lasting(lines, "train", _discriminator_is_certain))


def posterior_collapsed(lines: Sequence[Line]) -> bool:
    """Return True if few units of the code have long been active."""
    return bool(_lasting(lines, "validation", _few_units_are_active))


def codes_unused(lines: Sequence[Line]) -> bool:
    """Return True if most entries of a codebook have long been unused, in training or in validation."""
    return bool(_lasting(lines, "train", _codes_are_unused) or _lasting(lines, "validation", _codes_are_unused))


_RULES: dict[str, Callable[[Sequence[Line]], bool]] = {
    COLLAPSED: collapsed,
    MODES_DROPPED: modes_dropped,
    DISCRIMINATOR_WON: discriminator_won,
    POSTERIOR_COLLAPSED: posterior_collapsed,
    CODES_UNUSED: codes_unused,
}
"""The rule behind each warning, the worst first."""


def _samples_are_alike(line: Line) -> bool:
    return _value(line, "diversity", otherwise=1.0) < _ALIKE


def _classes_are_missing(line: Line) -> bool:
    return _value(line, "classes_missing", otherwise=0.0) > 0


def _discriminator_is_certain(line: Line) -> bool:
    accuracies = (_value(line, f"discriminator/{items}_accuracy", otherwise=0.0) for items in ("real", "generated"))
    return min(accuracies) > _CERTAIN


def _few_units_are_active(line: Line) -> bool:
    return _value(line, "active_share", otherwise=1.0) < _ACTIVE


def _codes_are_unused(line: Line) -> bool:
    return max(_value(line, name, otherwise=0.0) for name in ("unused", "autoencoder/unused")) > _UNUSED


def _value(line: Line, name: str, otherwise: float) -> float:
    value = line.get(name)
    return value if isinstance(value, float) else otherwise


def _lasting(lines: Sequence[Line], split: str, bad: Callable[[Line], bool]) -> list[Line]:
    """Return the newest lines of a split that are all bad, if there are enough of them over enough steps."""
    chosen = [line for line in lines if line["split"] == split]
    since = next((place for place in range(len(chosen), 0, -1) if not bad(chosen[place - 1])), 0)
    found = chosen[since:]
    return found if len(found) >= _LINES and found[-1]["step"] - found[0]["step"] >= _STEPS else []
