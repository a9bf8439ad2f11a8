"""The data source `codes`: another run's data, encoded by its model."""

import math

import torch
from torch import Tensor

from genlab.contract import Encodes
from genlab.data import SOURCES, held_out
from genlab.data.dataset import SPLITS, Column, Dataset, fingerprint_of
from genlab.data.progress import progress
from genlab.kinds import Points
from genlab.registry import ConfigError

_BATCH = 500


def codes(*, run: str, standardise: bool = True) -> Dataset:
    """Return the codes that the model of another run gives to its data, as points, with their labels and attributes.

    A VAE of them is the second stage of a two-stage VAE (Dai and Wipf 2019). The codes are those of the newest
    checkpoint, and the fingerprint names it. They are always computed on a CPU.
    """
    # Imported only where codes are wanted: listing runs needs no models.
    from genlab.build import build_data
    from genlab.config import compose
    from genlab.runs.open import open_checkpoint
    from genlab.runs.run import find

    folder = find(run)
    opened, dataset = open_checkpoint(folder), build_data(compose.load(folder.path / "config.yaml"))
    if dataset.fingerprint != folder.facts["fingerprint"]:
        raise ConfigError(
            f"The data of {folder.path} has changed since that run began, so it has other codes. Restore it."
        )
    model = opened.model
    if not isinstance(model, Encodes):
        name = folder.facts["name"]
        raise ConfigError(
            f"{folder.path} ({name}) cannot encode. Choose a run whose model has codes, such as ae or vae."
        )
    rows = torch.cat([dataset.splits[name] for name in SPLITS])
    sizes = [len(dataset.splits[name]) for name in SPLITS]
    splits = dict(zip(SPLITS, torch.split(torch.arange(len(rows)), sizes), strict=True))
    points = _encoded(model, dataset, rows)
    if standardise:
        seen = points[splits["train"]]
        mean, std = seen.mean(0), seen.std(0)
        # An unused number of the code hardly varies; it stays small.
        points = (points - mean) / std.clamp_min(max(1e-6 * float(std.max()), 1e-12))
    columns = {"label": dataset.columns["label"]} if dataset.labels is not None else {}
    beside = {name: Column(column.kind, column.rows[rows]) for name, column in (columns | dataset.attributes).items()}
    # Of what they are computed from: other hardware rounds the codes in another way.
    contents = f"{opened.digest} {standardise} {dataset.modelled}"
    return Dataset(
        {"x": Column(Points(points.shape[1]), points.float()), **beside},
        splits,
        fingerprint=fingerprint_of(beside, splits, contents),
        contents=contents,
    )


@torch.no_grad()
def _encoded(model: Encodes, dataset: Dataset, rows: Tensor) -> Tensor:
    found = list[Tensor]()
    with progress(math.ceil(len(rows) / _BATCH), "encoding", "encoded", "batches") as advance:
        for batch in held_out.batches(dataset, rows, torch.device("cpu"), _BATCH):
            found.append(model.encode(batch).double())
            advance()
    encoded = torch.cat(found)
    if encoded.dim() != 2 or not encoded.isfinite().all():
        raise ConfigError(f"The codes must be rows of finite numbers, got {tuple(encoded.shape)}. Choose another run.")
    return encoded


# A source that opens runs cannot stand in genlab.data, which knows none. Whoever reads data imports this file.
SOURCES["codes"] = codes
