"""Upscale picture files with a trained model, or measure how well it upscales them."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from genlab.contract import Upscales, abilities_of
from genlab.data.files.decode import BadFileError, size_of
from genlab.data.files.first_pass import quiet_pillow
from genlab.data.files.listing import shown
from genlab.data.progress import progress
from genlab.evaluation.super_resolution import BICUBIC, Row, as_picture, attempt, caption, score, smallest, with_means
from genlab.evaluation.tiles import TiledUpscaler
from genlab.kinds import Image
from genlab.lab import picture
from genlab.lab.abilities import cannot
from genlab.lab.files import Source, sources
from genlab.lab.picture import Picture
from genlab.lab.side_by_side import part_to_show, side_by_side
from genlab.networks.extractor import Extractor
from genlab.registry import ConfigError, RunError
from genlab.runs.results import Fresh, refuse_unwritable, write_fresh
from genlab.runs.run import OUTPUTS, Run, runs

ABILITY = "upscale"
LARGE = 2**26
"""Pixels of a result, four bytes each, above which memory matters more than speed."""


def refuse_unable(run: Run) -> None:
    """Raise a ConfigError, without opening the model, if run.json says that it cannot upscale."""
    abilities = run.facts.get("abilities")
    if abilities is not None and ABILITY not in abilities:
        raise _unable(run, abilities)


def upscaler_of(run: Run, model: object, scale: int | None = None) -> TiledUpscaler:
    """Return an upscaler with the model of a run; raise a ConfigError if it cannot upscale, or not by `scale`."""
    kind = run.kinds["x"]
    if not isinstance(model, Upscales) or not isinstance(kind, Image):
        raise _unable(run, abilities_of(model))
    if scale not in (None, model.scale):
        raise ConfigError(f"{run.path} upscales {model.scale} times, got --scale {scale}. Leave out --scale.")
    return TiledUpscaler(model, kind.channels)


def _unable(run: Run, abilities: list[str]) -> ConfigError:
    able = [str(other.path) for other in reversed(runs()) if ABILITY in (other.facts.get("abilities") or ())]
    train = f"No run in {OUTPUTS}/ can. Train one: genlab train model=srresnet data=photos-mini"
    advice = f"Runs that can: {', '.join(able)}" if able else train
    return cannot(run, ABILITY, abilities, advice)


@dataclass(frozen=True)
class Work:
    """The settings of one command: the model, the folder of the results, and the extra files."""

    upscaler: TiledUpscaler
    out: Path
    label: str
    """The label of the model's panel in a comparison."""
    compare: bool
    """True to write a comparison with bicubic beside each result."""
    say: Callable[[str], None]

    @property
    def caption(self) -> str:
        """The protocol of the metrics."""
        return caption(self.upscaler.scale)

    def sources(self, given: list[Path], measure: bool) -> list[Source]:
        """Return the named pictures; if results are written, their folder must not overlap the pictures."""
        if not self.compare and measure:
            return sources(given)
        refuse_unwritable(self.out)
        return sources(given, self.out)

    def large(self, wanted: list[Source]) -> bool:
        """Return True if any result is so large that saving memory is better than saving time."""
        with quiet_pillow():
            # Opening a named pipe would wait for a writer.
            areas = [math.prod(size_of(source.path)) for source in wanted if source.path.is_file()]
        return max(areas, default=0) * self.upscaler.scale**2 > LARGE

    def upscale(self, wanted: list[Source]) -> dict[Source, str]:
        """Upscale all pictures; return the ones that failed, each with the reason."""
        with _going_through(self.upscaler, wanted) as (todo, bad, advance):
            for source in todo:
                with _noting(source, bad):
                    self._upscale(source, advance)
        return bad

    def measure(self, wanted: list[Source], extractor: Extractor | None) -> tuple[list[Row], dict[Source, str]]:
        """Downscale each picture, upscale it and compare it with the original; return rows, and failures as above."""
        rows = list[Row]()
        with _going_through(self.upscaler, wanted, shrink=self.upscaler.scale) as (todo, bad, advance):
            for source in todo:
                with _noting(source, bad):
                    rows += self._measure(source, extractor, advance)
        return with_means(rows), bad

    def _measure(self, source: Source, extractor: Extractor | None, advance: Callable[[], None]) -> list[Row]:
        whole = picture.read(source.path).image
        # Transparency has no true upscaled version, so only the colours are measured.
        truth, least = whole.convert(whole.mode.removesuffix("A")), smallest(self.upscaler.scale)
        if min(truth.size) < least:
            raise BadFileError(f"it has {truth.width} x {truth.height} pixels, and measuring needs {least} each way")
        trial = attempt(self.upscaler, np.array(truth), advance)
        if self.compare:
            panels = {**trial.upscaled, "original": trial.truth}
            box = part_to_show(truth, 1)
            parts = {label: as_picture(box.of(images)) for label, images in panels.items()}
            self._keep_comparison(self.out / source.name, parts)
        return score(str(source), trial, extractor)

    def _upscale(self, source: Source, advance: Callable[[], None]) -> None:
        small = picture.read(source.path)
        large = self.upscaler.upscale(small.image, advance)
        kept = self._keep(picture.name_for(source.name, large), large, small)
        before, after = (f"{image.width:,} x {image.height:,}" for image in (small.image, large))
        self.say(f"{source}: {before} -> {after}, {_where(kept)}{self._note(small.image)}")
        if self.compare:
            box = part_to_show(small.image, self.upscaler.scale)
            whole = box.times(self.upscaler.scale)
            by_filter = small.image.resize(whole.size, Pillow.Resampling.BICUBIC, box)
            self._keep_comparison(kept.path, {BICUBIC: by_filter, self.label: large.crop(whole)})

    def _keep(self, name: Path, image: Pillow.Image, source: Picture) -> Fresh:
        """Write an image into the folder of the results; existing files are never overwritten."""
        try:
            return write_fresh(self.out / name, lambda file: picture.write(image, file, name.suffix, source))
        except OSError as error:
            raise BadFileError(f"cannot write {shown(str(self.out / name))}: {error.strerror or error}") from None
        except ValueError as error:  # an encoder that cannot hold the picture
            raise BadFileError(f"the result cannot be written as {name.suffix}: {error}") from None

    def _keep_comparison(self, beside: Path, panels: dict[str, Pillow.Image]) -> None:
        """Write a comparison as a PNG beside its result."""
        name = beside.relative_to(self.out).with_name(f"{beside.stem}-compare.png")
        sheet = side_by_side(panels)
        self.say(f"  {' beside '.join(panels)}: {_where(self._keep(name, sheet, Picture(sheet, b'', None)))}")

    def _note(self, image: Pillow.Image) -> str:
        field = 2 * self.upscaler.model.reach + 1
        if min(image.size) >= field:
            return ""
        return f" (expect border effects: the model looks at {field} x {field} pixels around each pixel)"


@contextmanager
def _going_through(
    upscaler: TiledUpscaler, wanted: list[Source], shrink: int = 1
) -> Iterator[tuple[list[Source], dict[Source, str], Callable[[], None]]]:
    """Show progress by tiles; yield the readable sources, a dictionary for failures, and the function to advance."""
    bad: dict[Source, str] = {}
    total, todo = 0, list[Source]()
    with quiet_pillow():
        for source in wanted:
            with _noting(source, bad):
                width, height = picture.size_of(source.path)
                total += len(upscaler.tiles(max(1, width // shrink), max(1, height // shrink)))
                todo.append(source)
        with progress(total, "upscaling", "upscaled", "tiles") as advance:
            yield todo, bad, advance


@contextmanager
def _noting(source: Source, bad: dict[Source, str]) -> Iterator[None]:
    """Note a failure, so that one bad picture does not stop the others."""
    try:
        yield
    except (BadFileError, ConfigError) as error:
        bad[source] = str(error).rstrip(".")
    except MemoryError:
        bad[source] = "there is not enough memory for the result"


def settle(count: int, bad: dict[Source, str], done: str) -> None:
    """Raise an error that lists all failures; a ConfigError if nothing succeeded."""
    if not bad:
        return
    if count == 1:
        raise ConfigError(*(f"{source} cannot be {done}: {reason}." for source, reason in bad.items()))
    lines = [f"\n  {source}: {reason}" for source, reason in bad.items()]
    text = f"{len(bad):,} of the {count:,} pictures cannot be {done}:{''.join(lines)}"
    raise ConfigError(text) if len(bad) == count else RunError(f"{text}\nThe other pictures are done.")


def _where(kept: Fresh) -> str:
    place = shown(str(kept.path))
    return f"written to {place}" if kept.new else f"already in {place}"
