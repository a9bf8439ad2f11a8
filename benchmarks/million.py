"""A million images in Parquet files: python -m benchmarks.million [COUNT].

It draws 20,000 faces of 32 x 32 in colour and repeats them in Parquet files. It measures in processes of their own: the
first pass over one file, the time to the first batch of the decoded set after the imports, and the steps per second of
a convolutional VAE that streams its batches from disk, with the peak memory of each. In one more process, steps from
disk and steps from a small set in memory take turns, for the ratio of their speeds. To fill the cache for all files,
each different image is decoded once.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genlab.data.dataset import Dataset
    from genlab.training.trainer import Trainer

COUNT, DRAWN, FILES, ROWS = 1_000_000, 20_000, 50, 1000
SMALL, ROUNDS, STEPS, WARM_UP = 20_000, 7, 20, 100


def write(folder: Path, count: int) -> None:
    """Write drawn images as the library `datasets` does; after the first 20,000, they are repeated."""
    import io
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    from genlab import build
    from genlab.config import compose

    drawn = build.build_data(compose.compose(["data=faces", f"data.count={min(count, DRAWN)}", "data.size=32"]))
    images = []
    for pixels in drawn.columns["x"].rows:
        file = io.BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(file, "png")
        images.append({"bytes": file.getvalue(), "path": None})
    assert drawn.labels is not None
    labels = drawn.labels.tolist()
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(drawn.classes)}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("image", kind), ("label", pa.int64())], {"huggingface": json.dumps({"info": {"features": features}})}
    )
    folder.mkdir()
    for number in range(FILES):
        name = f"train-{number:05}-of-{FILES:05}.parquet"
        with pq.ParquetWriter(folder / name, schema) as writer:
            for start in range(number * count // FILES, (number + 1) * count // FILES, ROWS):
                places = [
                    place % len(images) for place in range(start, min(start + ROWS, (number + 1) * count // FILES))
                ]
                parts = [pa.array([images[place] for place in places], kind), pa.array([labels[p] for p in places])]
                writer.write_table(pa.Table.from_arrays(parts, schema=schema), ROWS)


def data(folder: str) -> "Dataset":
    """Return the data set, decoded if it is not in the cache."""
    from genlab.data import SOURCES

    settings: dict[str, Any] = {"size": 32, "crop": "center", "channels": 3, "background": "white", "image": "auto"}
    settings |= {"label": "auto", "validation": 0.05, "test": 0.05, "tolerate": 0.01}
    return SOURCES["parquet"](path=folder, **settings)


def first(folder: str) -> float:
    """Return the images of one file that a first pass decodes per second."""
    began = time.perf_counter()
    return len(data(str(next(Path(folder).iterdir())))) / (time.perf_counter() - began)


def fill(folder: str) -> float:
    """Return the images per second of a first pass that does not decode copies again."""
    from genlab.data.files import decode, first_pass

    first_pass.__dict__["decode"] = cache(decode.decode)
    began = time.perf_counter()
    return len(data(folder)) / (time.perf_counter() - began)


def start(folder: str) -> float:
    """Return the seconds to the first batch of a decoded set, after the imports."""
    import pyarrow.parquet  # noqa: F401

    from genlab.data import SOURCES as SOURCES

    began = time.perf_counter()
    data(folder).batches("train", 128).batch(0)
    return time.perf_counter() - began


def trainer(dataset: "Dataset", residence: str) -> "Trainer":
    """Return a trainer of a convolutional VAE."""
    from genlab import build
    from genlab.config import compose

    settings = ["model=vae", "model/network=conv", f"data.residence={residence}", "trainer.steps=99999"]
    return build.build_trainer(replace(compose.compose(settings), seed=1), dataset)


def steps(folder: str) -> float:
    """Return the steps per second, streamed from disk."""
    made = trainer(data(folder), "auto")
    made._take_step()
    return 1 / _seconds(made, WARM_UP)


def ratio(folder: str) -> float:
    """Return the speed of steps from disk over that of steps from a small set in memory."""
    import torch

    whole = data(folder)
    few = {name: rows[: SMALL if name == "train" else 200] for name, rows in whole.splits.items()}
    chosen = torch.cat(list(few.values()))
    sizes = [len(rows) for rows in few.values()]
    columns = {name: replace(column, rows=column.rows[chosen], file=None) for name, column in whole.columns.items()}
    splits = dict(zip(few, torch.arange(len(chosen)).split(sizes), strict=True))
    small = replace(whole, columns=columns, splits=splits, fingerprint="", contents="")
    trainers = {"device": trainer(small, "device"), "disk": trainer(whole, "disk")}
    for each in trainers.values():
        _seconds(each, 5)
    rounds = [{name: _seconds(each, STEPS) for name, each in trainers.items()} for _ in range(ROUNDS)]
    return statistics.median(seconds["device"] / seconds["disk"] for seconds in rounds)


def _seconds(made: "Trainer", times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        made._take_step()
    return (time.perf_counter() - began) / times


MEASURED: dict[str, tuple[str, Callable[[str], float]]] = {
    "first": ("first pass: {:,.0f} images/s", first),
    "fill": ("first pass without decoding copies: {:,.0f} images/s", fill),
    "start": ("decoded before: first batch after {:.2f} s", start),
    "steps": ("a convolutional VAE from disk: {:.1f} steps/s", steps),
    "ratio": ("from disk / a small set in memory: {:.2f}", ratio),
}


def main(count: int) -> None:
    """Print each result and the peak memory of its process."""
    import os

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "set", count)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
        print(f"{count:,} images in {FILES} Parquet files of together {size / 1e6:,.0f} MB", flush=True)
        os.environ["GENLAB_CACHE"] = f"{folder}/cache"
        for name, (text, _) in MEASURED.items():
            command = [sys.executable, "-m", "benchmarks.million", name, f"{folder}/set"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            value, megabytes = map(float, done.split())
            print(f"{text.format(value)} (peak memory {megabytes:,.0f} MB)", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(MEASURED[sys.argv[1]][1](sys.argv[2]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT)
