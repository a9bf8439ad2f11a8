"""Fit a prior to the codes of a trained model: an autoencoder can then sample, and a VAE samples better."""

from __future__ import annotations

import copy
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from genlab.contract import Batch, Decodes, Draws, Encodes, Model, Samples, conditions, home
from genlab.data import held_out
from genlab.data.dataset import Dataset
from genlab.data.progress import progress
from genlab.evaluation.bench import checked
from genlab.kinds import Image, Kind, Points, Row
from genlab.lab.abilities import cannot
from genlab.lab.features import Features
from genlab.lab.prior import FILE, Mixture, Prior, SecondStage, keep, second_stage_network
from genlab.lab.results import Results
from genlab.lab.run import at_least, whole
from genlab.metrics.likelihood import bounds
from genlab.models.vae import log_standard_normal
from genlab.randomness import generator, key, reseed
from genlab.registry import ConfigError, RunError
from genlab.runs.run import Run as Folder
from genlab.training import checkpoint
from genlab.training.console import Console
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer

if TYPE_CHECKING:
    from genlab.lab.run import Run

MIXTURE_CODES, SECOND_STAGE_CODES = 20_000, 100_000
"""Largest number of training codes that a prior is fitted to."""
HELD_OUT = 10_000
"""Largest number of held-out codes, by whose likelihood the number of Gaussians is chosen."""
COMPARED = 10_000
"""Default number of samples that are compared with test items."""

_LEAST = 10
_BATCH = 500
_SMALLEST_VARIANCE = 1e-5
"""Added to the variances of standardised codes, so that a Gaussian of few codes does not become flat."""
_HIDDEN, _STAGE_BATCH, _STEPS, _EPOCHS = [256, 256], 256, 10_000, 200
"""Network of a second stage, codes per batch, largest number of steps, and epochs for few codes."""
_STD = 0.3
"""First value of the std that a second stage learns."""
_PLAYER = PlayerSettings(lr=1e-3, schedule="cosine")
_IMPORTANCE = 50
"""Samples for the bound on the likelihood of a second stage."""
_ACROSS, _SHOWN, _POINTS = 16, 32, 2_000
"""Images in a row of the sheet, images of each prior, and points of each prior."""

OWN, TRAINING = "own prior", "training codes"


@runtime_checkable
class KnowsPrior(Protocol):
    """Can tell the log density of codes under its own prior."""

    def log_prior(self, codes: Tensor) -> Tensor: ...


class Candidate(NamedTuple):
    """A fitted prior, and the mean nats of codes; those of a second stage are lower bounds."""

    prior: Prior
    held_out: float
    seen: float


class Codes(NamedTuple):
    """Codes of training items and held-out codes, in float64."""

    seen: Tensor
    held_out: Tensor
    condition: Batch
    """The condition of each of the seen codes, if the model is conditional."""
    held_out_condition: Batch


@dataclass(frozen=True)
class FittedPrior:
    """The prior that was fitted, how it was chosen, and the quality of its samples."""

    prior: Prior
    chosen: str
    """The name of the fitted prior in `metrics`, such as `50 Gaussians`."""
    reason: str
    """The reason for the choice, as a sentence."""
    path: Path
    """The file in the run that holds it."""
    metrics: dict[str, dict[str, float]]
    """By the name of a prior: the nats of a code, held out and seen, and how far its samples are from test items."""
    samples: dict[str, Tensor]
    """Samples of the prior before, samples of the fitted one, and decoded training codes, by name."""
    kind: Kind
    notes: tuple[str, ...]

    def write(self, results: Results) -> None:
        """Write a sheet of samples, and the metrics as a table."""
        rows = [row for name, items in self.samples.items() for row in _rows(self.kind, name, items)]
        results.sheet("prior", self.kind, rows)
        names = list(dict.fromkeys(name for values in self.metrics.values() for name in values))
        table = [[prior, *(values.get(name, "") for name in names)] for prior, values in self.metrics.items()]
        results.table("prior", ["prior", *names], table)


def fit_prior(
    run: Run,
    components: Sequence[int] = (10, 50),
    *,
    second_stage: bool = False,
    count: int | None = None,
    features: str | None = None,
    seed: int = 0,
    console: Console | None = None,
) -> FittedPrior:
    """Fit a prior to the codes of a run's training items, measure its samples, and keep it in the run's folder.

    See `Run.fit_prior`. `features` names the features in which samples are compared with test items.
    """
    _check_abilities(run)
    counts, wanted, notes = _counts(components), _count(run, count), list[str]()
    console = console or Console()
    codes = _codes(run, SECOND_STAGE_CODES if second_stage else MIXTURE_CODES, whole("seed", seed))
    if second_stage:
        candidates = _with_second_stage(codes, seed, console)
        chosen, reason = next(reversed(candidates)), "as asked for; its nats are a lower bound."
        if candidates[chosen].held_out < candidates[_named(1)].held_out:
            notes.append("One Gaussian explains the held-out codes better than the second stage; fit mixtures instead.")
    else:
        candidates = _mixtures(codes, counts, seed, notes)
        chosen = max(candidates, key=lambda name: candidates[name].held_out)
        reason = f"chosen by the likelihood of {len(codes.held_out):,} held-out codes."
    draws = _draws(run, codes, candidates, chosen, seed)
    nats = _nats(run, codes, candidates)
    prior, replaced = candidates[chosen].prior, (run.path / FILE).exists()
    facts = {"codes": len(codes.seen), "seed": seed}
    # Kept before the comparison, which can take minutes and be stopped.
    keep(run.path, run.checkpoint_digest, prior, {**facts, "metrics": nats})
    metrics, samples = _compared(run, draws, wanted, features, console, notes)
    rows = {name: {**nats.get(name, {}), **metrics.get(name, {})} for name in [*nats, *draws]}
    table = {name: values for name, values in rows.items() if values}
    path = keep(run.path, run.checkpoint_digest, prior, {**facts, "metrics": table})
    # The run reads the file again when it next samples.
    vars(run).pop("fitted_prior", None)
    notes.append(
        f"{'Replaced' if replaced else 'Wrote'} {path}: {prior.describe()}, for the checkpoint of step {run.step:,}."
    )
    return FittedPrior(prior, chosen, reason, path, table, samples, run.kinds["x"], tuple(notes))


def _check_abilities(run: Run) -> None:
    for name, ability in {"encode": Encodes, "decode": Decodes}.items():
        if not isinstance(run.model, ability):
            advice = "A prior is fitted to codes, so the model must encode and decode."
            raise cannot(Folder(run.path), name, run.abilities, advice)
    if isinstance(run.model, Samples) and not isinstance(run.model, Draws):
        raise ConfigError(
            f"{run.name} samples from a prior that it has learned itself, so there is none to fit. "
            f"Use that prior: genlab sample {run.path}"
        )
    if getattr(run.model, "code_holds_class", False):
        raise ConfigError(
            f"The codes of {run.name} hold the class, and a prior that is fitted to the codes of all classes could not "
            f"be asked for one. Sample from its own prior: genlab sample {run.path}"
        )


def _counts(components: Sequence[int]) -> list[int]:
    """Return the numbers of Gaussians in order; a single one is always among them, as the simplest baseline."""
    if isinstance(components, str) or not isinstance(components, Sequence):
        raise ConfigError(f"components must be a list of integers, such as [10, 50], got {components!r}.")
    return sorted({1, *(at_least(1, "components", number) for number in components)})


def _count(run: Run, count: int | None) -> int:
    """Return the number of samples to compare; 0 compares none."""
    available = len(run.dataset.splits["test"])
    if count is None:
        return min(COMPARED, available) if available > 1 else 0
    if (count := at_least(0, "count", count)) == 1:
        raise ConfigError("count must be 0 or at least 2, got 1: the spread of one sample is not known.")
    if count and available < 2:
        raise ConfigError(f"There are no test {run.kinds['x'].plural} to compare samples with. Use count 0.")
    return min(count, available)


def _codes(run: Run, most: int, seed: int) -> Codes:
    """Encode training items, and validation items or a tenth of the training items as held-out ones."""
    rows, aside = (held_out.chosen(run.dataset, *part, seed) for part in (("train", most), ("validation", HELD_OUT)))
    if not len(aside):
        order = torch.randperm(len(rows), generator=generator(seed, "held-out codes"))
        aside, rows = (rows[part].sort().values for part in (order[: len(rows) // 10], order[len(rows) // 10 :]))
    if len(rows) < _LEAST or not len(aside):
        raise ConfigError(f"A prior needs at least {_LEAST} training {run.kinds['x'].plural}, got {len(rows)}.")
    columns = run.dataset.columns
    told = conditions(run.model)
    seen, held = ({name: columns[name].rows[part] for name in told} for part in (rows, aside))
    return Codes(_encoded(run, rows), _encoded(run, aside), seen, held)


@torch.no_grad()
def _encoded(run: Run, rows: Tensor) -> Tensor:
    model, found = run.model, list[Tensor]()
    assert isinstance(model, Encodes)
    with progress(math.ceil(len(rows) / _BATCH), "encoding", "encoded", "batches") as advance:
        for batch in held_out.batches(run.dataset, rows, home(model), _BATCH):
            codes = model.encode(batch)
            found.append(checked("encode", codes, (len(batch["x"]), *codes.shape[1:2])).cpu())
            advance()
    return torch.cat(found).double()


def _mixtures(codes: Codes, counts: Sequence[int], seed: int, notes: list[str]) -> dict[str, Candidate]:
    """Fit a mixture of each number of Gaussians; with classes, each class gets an equal part of them."""
    possible, candidates = [number for number in counts if number <= len(codes.seen)], dict[str, Candidate]()
    if counts != [1] and possible == [1]:
        raise ConfigError(
            f"There are {len(codes.seen):,} codes, and a mixture of {counts[1]:,} Gaussians needs as many."
        )
    if len(possible) < len(counts):
        notes.append(f"There are {len(codes.seen):,} codes, so mixtures of more Gaussians were left out.")
    with progress(len(possible), "fitting", "fitted", "mixtures") as advance:
        for number in possible:
            mixture = _fitted(codes, number, seed)
            parts = ((codes.held_out, codes.held_out_condition), (codes.seen, codes.condition))
            nats = (float(mixture.nats(part, condition.get("label")).mean()) for part, condition in parts)
            candidates[_named(number)] = Candidate(mixture, *nats)
            advance()
    return candidates


def _named(number: int) -> str:
    return f"{number} Gaussian{'s' if number > 1 else ''}"


def _fitted(codes: Codes, number: int, seed: int) -> Mixture:
    """Fit a mixture; one of its own for each class, if there are enough Gaussians and codes of each."""
    label = codes.condition.get("label")
    counts = torch.zeros(0) if label is None else label.bincount()
    each = number // max(1, len(counts))
    if label is None or not each or int(counts.min()) < max(2, each):
        return fitted_mixture(codes.seen, number, seed)
    parts = [fitted_mixture(codes.seen[label == place], each, seed) for place in range(len(counts))]
    return Mixture(
        torch.cat([part.weights * count / len(label) for part, count in zip(parts, counts, strict=True)]),
        torch.cat([part.means for part in parts]),
        torch.cat([part.factors for part in parts]),
        torch.arange(len(parts)).repeat_interleave(each),
    )


def fitted_mixture(codes: Tensor, count: int, seed: int) -> Mixture:
    """Fit a mixture of `count` Gaussians with full covariances by expectation maximisation, in float64."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    # In float32, scikit-learn finds covariances that are not positive definite.
    mean, scale = _standard(codes)
    state = key(seed, "mixture", count) % 2**32
    fit = GaussianMixture(count, max_iter=200, reg_covar=_SMALLEST_VARIANCE, random_state=state)
    with warnings.catch_warnings():
        # A mixture that is not quite at its optimum, or whose codes repeat, is judged by held-out codes like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit.fit(((codes.double() - mean) / scale).numpy())
    weights, means, covariances = (torch.from_numpy(part) for part in (fit.weights_, fit.means_, fit.covariances_))
    factors = torch.linalg.cholesky(covariances)
    return Mixture(weights / weights.sum(), mean + scale * means, scale[:, None] * factors)


def _standard(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the std of each number of the codes; an unused number gets a small std."""
    mean, std = codes.double().mean(0), codes.double().std(0)
    return mean, std.clamp_min(max(1e-6 * float(std.max()), 1e-12))


def _with_second_stage(codes: Codes, seed: int, console: Console) -> dict[str, Candidate]:
    """Fit one Gaussian, and a VAE of the codes."""
    candidates = _mixtures(codes, [1], seed, [])
    prior = fitted_second_stage(codes, seed, console)
    parts = codes.held_out, codes.seen[: len(codes.held_out)]
    nats = (_second_stage_nats(prior, part, seed) for part in parts)
    return {**candidates, "second-stage VAE": Candidate(prior, *nats)}


def _stage_settings(count: int) -> TrainerSettings:
    """Return settings for this number of training codes; few codes are learned in fewer steps."""
    batch_size = min(_STAGE_BATCH, count)
    steps = min(_STEPS, max(_STEPS // 10, _EPOCHS * (count // batch_size)))
    often = max(1, steps // 20)
    return TrainerSettings(
        batch_size=batch_size,
        steps=steps,
        validate_every=often,
        checkpoint_every=steps,
        log_every=often,
        precision="float32",
        compile=False,
    )


def _second_stage_nats(prior: SecondStage, codes: Tensor, seed: int) -> float:
    """Return a lower bound on the mean log density of codes (Burda et al. 2016)."""
    batches = ({"x": part} for part in torch.split(((codes - prior.mean) / prior.scale).float(), _BATCH))
    # The posterior of a VAE is in float32.
    bound = bounds(copy.deepcopy(prior.network).float(), batches, _IMPORTANCE, seed)[f"negative_bound-{_IMPORTANCE}"]
    # The density of a code is that of the standardised one, divided by the change of volume.
    return -bound - float(prior.scale.log().sum())


def fitted_second_stage(codes: Codes, seed: int, console: Console) -> SecondStage:
    """Train a VAE of standardised codes, with a std that it learns (Dai and Wipf 2019)."""
    mean, scale = _standard(codes.seen)
    points = ((torch.cat([codes.seen, codes.held_out]) - mean) / scale).float()
    rows = torch.arange(len(points))
    train, aside = rows[: len(codes.seen)], rows[len(codes.seen) :]
    dataset = Dataset.of_points(points, {"train": train, "validation": aside, "test": rows[:0]})
    settings = _stage_settings(len(train))
    device = torch.device("cpu")
    # The training seeds the default generators, on which the caller's draws may depend.
    with torch.random.fork_rng([]), tempfile.TemporaryDirectory() as folder:
        reseed(device, seed, "second stage")
        network = second_stage_network(points.shape[1], _HIDDEN)
        # With a std of 1 the VAE could ignore its code for a long time: one Gaussian explains standardised codes, too.
        torch.nn.init.constant_(network.likelihood.get_parameter("log_std"), math.log(_STD))
        trainer = Trainer(network, dataset, settings, {"model": _PLAYER}, seed=seed, device=device, best="loss")
        outcome = trainer.fit(Path(folder), console)
        # The weights with the best held-out codes: on few codes, the last ones know the training codes by heart.
        best = checkpoint.at(Path(folder) / "checkpoints", outcome.best["step"]) if outcome.best else None
    if outcome.state != "finished":
        raise RunError("The training of the second stage was stopped; the run keeps the prior that it had.")
    if best is None:
        raise RunError("The second stage could not be trained: its loss is not finite.")
    network.load_state_dict(checkpoint.fitted(best, "model", network.state_dict()))
    return SecondStage(mean, scale, network.double().eval().requires_grad_(False), tuple(_HIDDEN))


def _nats(run: Run, codes: Codes, candidates: Mapping[str, Candidate]) -> dict[str, dict[str, float]]:
    """Return the nats of codes by each prior, and by the model's own one, if it has one."""
    found = {name: {"held-out nats": each.held_out, "seen nats": each.seen} for name, each in candidates.items()}
    if not isinstance(run.model, Draws):
        return found
    own = {"held-out nats": _own_nats(run.model, codes.held_out), "seen nats": _own_nats(run.model, codes.seen)}
    return {OWN: {name: float(nats.mean()) for name, nats in own.items()}, **found}


def _own_nats(model: Model, codes: Tensor) -> Tensor:
    """Return the log density of codes by the model's own prior, which is standard normal unless the model says more."""
    device = home(model)
    if isinstance(model, KnowsPrior):
        return model.log_prior(codes[:, None].float().to(device)).squeeze(1).cpu()
    return log_standard_normal(codes)


Draw = Callable[[int], Tensor]


def _draws(run: Run, codes: Codes, candidates: Mapping[str, Candidate], chosen: str, seed: int) -> dict[str, Draw]:
    """Return functions that generate items: by the prior before, by the chosen prior, and from training codes."""

    def from_prior(prior: Prior, count: int) -> Tensor:
        label = _labels(run, count)
        return run.decode(prior.draw(count, generator(seed, "sample"), label), label=label)

    def from_own(count: int) -> Tensor:
        return run.sample(count, label=_labels(run, count), seed=seed, prior="normal")

    def from_training(count: int) -> Tensor:
        order = torch.randperm(len(codes.seen), generator=generator(seed, "training codes"))[:count]
        label = codes.condition["label"][order] if "label" in codes.condition else None
        return run.decode(codes.seen[order], label=label)

    simplest = next(iter(candidates))
    before = (
        {OWN: from_own}
        if isinstance(run.model, Samples)
        else {simplest: partial(from_prior, candidates[simplest].prior)}
    )
    return {**before, chosen: partial(from_prior, candidates[chosen].prior), TRAINING: from_training}


def _labels(run: Run, count: int) -> Tensor | None:
    """Return classes that are as frequent as among test items; None if the model is not conditional."""
    if "label" not in conditions(run.model) or run.dataset.labels is None:
        return None
    rows = next(rows for split in ("test", "train") if len(rows := held_out.chosen(run.dataset, split, count)))
    return run.dataset.labels[rows[torch.arange(count) % len(rows)]]


def _compared(
    run: Run, draws: Mapping[str, Draw], count: int, features: str | None, console: Console, notes: list[str]
) -> tuple[dict[str, dict[str, float]], dict[str, Tensor]]:
    """Generate items in each way; return how far each set is from test items, and some of the items."""
    space = _features(run, features, count, console, notes) if count else None
    least, metrics, samples = _least(run.kinds["x"]), dict[str, dict[str, float]](), dict[str, Tensor]()
    for name, draw in draws.items():
        items = draw(max(count, least))
        samples[name] = items[:least]
        if space:
            found = space.compare(items[:count])
            metrics[name] = {f"FD-{space.extractor.name}": found.pop("FD"), **found}
    return metrics, samples


def _features(run: Run, features: str | None, count: int, console: Console, notes: list[str]) -> Features | None:
    """Return the features for a comparison; None, and a note, if genlab has none for this kind of data."""
    space = Features(run, features, count=count, console=console)
    try:
        _ = space.extractor
    except ConfigError as error:
        if features is not None or isinstance(run.kinds["x"], Image | Points):
            raise
        notes.append(f"Samples were not compared with test {run.kinds['x'].plural}. {error}")
        return None
    return space


def _least(kind: Kind) -> int:
    """Return the number of items of each prior on the sheet."""
    return _SHOWN if isinstance(kind, Image) else _POINTS if isinstance(kind, Points) else _ACROSS


def _rows(kind: Kind, name: str, items: Tensor) -> Iterator[Row]:
    """Return the rows of a sheet: images in rows, all others at once."""
    parts = torch.split(items, _ACROSS) if isinstance(kind, Image) else [items]
    return (Row(name if place == 0 else "", part) for place, part in enumerate(parts))
