"""Speed of reading a folder of images, ours and torchvision's: python -m benchmarks.folder.

5,000 JPEGs of 640 x 480 are drawn: large soft shapes with fine grain, in the quality of a camera. The two take turns,
each in its own process; a ratio is of one round. torchvision's way is ImageFolder with Resize and CenterCrop to 64 x 64
and a DataLoader with two workers. The same files as rows of a Parquet file take turns with them. The last line is the
time until a decoded folder is ready again.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

ROUNDS, PHOTOS, SMALL = 3, 5000, 100_000
SETTINGS: dict[str, Any] = {
    "size": 64,
    "crop": "center",
    "channels": "auto",
    "background": "white",
    "labels": "folder",
    "label": None,
    "validation": 0.1,
    "test": 0.1,
    "tolerate": 0.01,
}


def ours(root: str) -> float:
    """Measure our first pass, from listing the folder to the last byte on disk."""
    from genlab.data import SOURCES

    with tempfile.TemporaryDirectory() as cache:
        os.environ["GENLAB_CACHE"] = cache
        began = time.perf_counter()
        dataset = SOURCES["folder"](path=root, **SETTINGS)
        return len(dataset) / (time.perf_counter() - began)


def rows(root: str) -> float:
    """Measure our first pass over the same files in a Parquet file."""
    from genlab.data import SOURCES

    settings = {name: value for name, value in SETTINGS.items() if name != "labels"} | {"image": "auto"}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GENLAB_CACHE"] = cache
        began = time.perf_counter()
        dataset = SOURCES["parquet"](path=f"{root}.parquet", **settings)
        return len(dataset) / (time.perf_counter() - began)


def write_rows(root: Path) -> None:
    """Write the files of a folder into a Parquet file, as the library `datasets` does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    with pq.ParquetWriter(f"{root}.parquet", schema) as writer:
        for path in sorted(root.rglob("*.jpg")):
            images = pa.array([{"bytes": path.read_bytes(), "path": path.name}], schema.field("image").type)
            writer.write_table(pa.Table.from_arrays([images], schema=schema))


def theirs(root: str) -> float:
    """Measure one pass of torchvision over all batches, with listing the folder."""
    import torch

    from genlab.data.files.vision import torchvision

    vision = torchvision()
    steps = [vision.transforms.Resize(64), vision.transforms.CenterCrop(64), vision.transforms.ToTensor()]
    began = time.perf_counter()
    images = vision.datasets.ImageFolder(root, vision.transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(images, batch_size=128, num_workers=2)
    count = sum(len(batch) for batch, _ in loader)
    return count / (time.perf_counter() - began)


def later(root: str) -> float:
    """Measure our later epochs; torchvision decodes all images again in each epoch."""
    from genlab.data import SOURCES

    with tempfile.TemporaryDirectory() as cache:
        os.environ["GENLAB_CACHE"] = cache
        batches = SOURCES["folder"](path=root, **SETTINGS).batches("train", 128)
        began = time.perf_counter()
        count = sum(len(batches.batch(number)["x"]) for number in range(batches.batches_per_epoch))
        return count / (time.perf_counter() - began)


def warm(root: str) -> float:
    """Return the seconds to the first batch of a folder that was decoded before."""
    from genlab.data import SOURCES

    SOURCES["folder"](path=root, **SETTINGS | {"size": 32})
    began = time.perf_counter()
    SOURCES["folder"](path=root, **SETTINGS | {"size": 32}).batches("train", 128).batch(0)
    return time.perf_counter() - began


KINDS: dict[str, Callable[[str], float]] = {
    "theirs": theirs,
    "ours": ours,
    "rows": rows,
    "later": later,
    "warm": warm,
}


def draw(root: Path, width: int, height: int, number: int) -> None:
    """Draw the photo of this number; no two are the same."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(number)
    shapes = Image.fromarray(random.integers(0, 256, (height // 40 + 2, width // 40 + 2, 3), dtype=np.uint8))
    soft = np.asarray(shapes.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    grainy = (soft + random.normal(0, 5, (height, width, 1))).clip(0, 255).astype(np.uint8)
    folder = root / f"class-{number % 10}"
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grainy).save(folder / f"{number:06}.jpg", quality=88)


def draw_all(root: Path, count: int, width: int, height: int) -> None:
    """Draw all photos on all cores."""
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(draw, root, width, height), range(count), chunksize=100))


def main() -> None:
    """Print each round and the medians."""
    with tempfile.TemporaryDirectory() as folder:
        photos, small = Path(folder) / "photos", Path(folder) / "small"
        draw_all(photos, PHOTOS, 640, 480)
        write_rows(photos)
        bytes_each = sum(path.stat().st_size for path in photos.rglob("*.jpg")) / PHOTOS
        print(f"{PHOTOS:,} photos of {bytes_each / 1000:.0f} kB", flush=True)
        rounds = []
        for number in range(ROUNDS):
            rounds.append({kind: _in_a_process(kind, photos) for kind in ("theirs", "ours", "rows", "later")})
            listed = ", ".join(f"{kind} {speed:,.0f} images/s" for kind, speed in rounds[-1].items())
            print(f"round {number + 1}: {listed}", flush=True)
        for kind, other, what in (
            ("ours", "theirs", "first pass, ours / theirs"),
            ("rows", "ours", "first pass, Parquet / folder"),
            ("later", "theirs", "later epochs, ours / theirs"),
        ):
            ratios = [speeds[kind] / speeds[other] for speeds in rounds]
            extent = f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"{what}: median {statistics.median(ratios):.2f} ({extent})", flush=True)
        draw_all(small, SMALL, 40, 40)
        os.environ["GENLAB_CACHE"] = f"{folder}/cache"
        seconds = [_in_a_process("warm", small) for _ in range(ROUNDS)]
        print(f"{SMALL:,} images, warm: first batch after {statistics.median(seconds):.2f} s (median of {ROUNDS})")


def _in_a_process(kind: str, root: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.folder", kind, str(root)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(KINDS[sys.argv[1]](sys.argv[2]))
    else:
        main()
