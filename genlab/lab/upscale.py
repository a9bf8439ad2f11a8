"""Pictures of somebody's own, enlarged by a trained model into a folder of results."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from genlab.contract import Upscales
from genlab.data.files.decode import BadFileError, size_of
from genlab.data.files.first_pass import quiet_pillow
from genlab.data.files.listing import shown
from genlab.data.progress import progress
from genlab.evaluation.enlargement import BICUBIC, Row, as_image, caption, judged, part_of, smallest, tried, with_means
from genlab.evaluation.enlarger import Enlarger
from genlab.lab import picture
from genlab.lab.inputs import Source, sources
from genlab.lab.picture import Picture
from genlab.lab.side_by_side import part_to_show, side_by_side
from genlab.networks.extractor import Features
from genlab.registry import ConfigError, RunError
from genlab.runs.fresh import Fresh, refuse_unwritable, write_fresh
from genlab.runs.run import OUTPUTS, Run, runs

ABILITY = "upscale"
# Pixels of a result, of four bytes each.
LARGE = 2**26


def refuse_unable(there: Run) -> None:
    """Stop early where a run has noted what its model can do and upscaling is not among it."""
    abilities = there.facts.get("abilities")
    if abilities is not None and ABILITY not in abilities:
        raise _unable(there)


def enlarger_of(there: Run, model: object, scale: int | None) -> Enlarger:
    """The model put to work; a run that cannot upscale, or not by this scale, is refused."""
    if not isinstance(model, Upscales):
        raise _unable(there)
    if scale not in (None, model.scale):
        raise ConfigError(
            f"{there.path} enlarges {model.scale} times and no other way, so not {scale} times; leave out --scale."
        )
    return Enlarger(model, channels=there.facts["shape"][0])


def _unable(there: Run) -> ConfigError:
    able = [str(run.path) for run in reversed(runs()) if ABILITY in (run.facts.get("abilities") or ())]
    others = f"Runs that can: {', '.join(able)}" if able else f"No run in {OUTPUTS}/ is known to enlarge."
    return ConfigError(f"{there.path} cannot upscale: {there.facts.get('name')} does not enlarge images. {others}")


@dataclass(frozen=True)
class Work:
    """What is done with each picture, where its results go and whom to tell."""

    enlarger: Enlarger
    out: Path
    label: str
    """What the model's panel of a comparison is called."""
    compare: bool
    say: Callable[[str], None]

    @property
    def caption(self) -> str:
        """What has to be known of the figures that are measured."""
        return caption(self.enlarger.scale)

    def meant(self, given: list[Path], measured: bool) -> list[Source]:
        """The pictures that are meant; where results are written, not among them."""
        if not self.compare and measured:
            return sources(given, None)
        refuse_unwritable(self.out)
        return sources(given, self.out)

    def large(self, wanted: list[Source]) -> bool:
        """Whether any result takes so much memory that little is left for speed."""
        with quiet_pillow():
            # To open a pipe would be to wait for who writes into it.
            areas = [math.prod(size_of(source.path)) for source in wanted if source.path.is_file()]
        return max(areas, default=0) * self.enlarger.scale**2 > LARGE

    def enlarge(self, wanted: list[Source]) -> dict[Source, str]:
        """Enlarge every picture that can be, and return why the others cannot."""
        with going_through(self.enlarger, wanted) as (todo, bad, advance):
            for source in todo:
                with noted(source, bad):
                    self._enlarge(source, advance)
        return bad

    def measure(self, wanted: list[Source], features: Features | None) -> tuple[list[Row], dict[Source, str]]:
        """Take every picture for the truth: made small, enlarged and held against it."""
        rows = list[Row]()
        with going_through(self.enlarger, wanted, shrink=self.enlarger.scale) as (todo, bad, advance):
            for source in todo:
                with noted(source, bad):
                    rows += self._measure(source, features, advance)
        return with_means(rows), bad

    def _measure(self, source: Source, features: Features | None, advance: Callable[[], None]) -> list[Row]:
        whole = picture.read(source.path).image
        # How clear a picture is has no true enlargement: the colours alone are measured.
        truth, least = whole.convert(whole.mode.removesuffix("A")), smallest(self.enlarger.scale)
        if min(truth.size) < least:
            raise BadFileError(
                f"it is {truth.width} x {truth.height} pixels, and to be measured it needs {least} each way"
            )
        trial = tried(self.enlarger, np.array(truth), advance)
        if self.compare:
            panels = {**trial.made, "original": trial.truth}
            box = part_to_show(truth, 1)
            shown_part = {label: as_image(part_of(images, box)) for label, images in panels.items()}
            self.keep_comparison(self.out / source.name, shown_part)
        return judged(str(source), trial, features)

    def _enlarge(self, source: Source, advance: Callable[[], None]) -> None:
        small = picture.read(source.path)
        large = self.enlarger.enlarge(small.image, advance)
        kept = self.keep(picture.name_for(source.name, large), large, small)
        was, becomes = (f"{image.width:,} x {image.height:,}" for image in (small.image, large))
        self.say(f"{source}: {was} becomes {becomes} {_where(kept)}{self._note(small.image)}")
        if self.compare:
            box = part_to_show(small.image, self.enlarger.scale)
            whole = box.times(self.enlarger.scale)
            size = (whole.right - whole.left, whole.bottom - whole.top)
            by_filter = small.image.resize(size, Image.Resampling.BICUBIC, box)
            self.keep_comparison(kept.path, {BICUBIC: by_filter, self.label: large.crop(whole)})

    def keep(self, name: Path, image: Image.Image, source: Picture) -> Fresh:
        """Write an image into the folder of the results; nothing that is there is overwritten."""
        try:
            return write_fresh(self.out / name, lambda file: picture.write(image, file, name.suffix, source))
        except OSError as error:
            reason = error.strerror or error
            raise BadFileError(f"{shown(str(self.out / name))} cannot be written: {reason}") from None
        except ValueError as error:  # what an encoder says of a picture that it cannot hold
            raise BadFileError(f"enlarged it cannot be written as {name.suffix}: {error}") from None

    def keep_comparison(self, beside: Path, panels: dict[str, Image.Image]) -> None:
        """Write a comparison as a PNG beside the result that it is of."""
        name = beside.relative_to(self.out).with_name(f"{beside.stem}-compare.png")
        sheet = side_by_side(panels)
        self.say(f"  {' beside '.join(panels)} {_where(self.keep(name, sheet, Picture(sheet, b'', None)))}")

    def _note(self, image: Image.Image) -> str:
        field = 2 * self.enlarger.model.reach + 1
        if min(image.size) >= field:
            return ""
        return f" (its borders are felt everywhere in it: the model looks at {field} x {field} pixels around each)"


@contextmanager
def going_through(
    enlarger: Enlarger, wanted: list[Source], shrink: int = 1
) -> Iterator[tuple[list[Source], dict[Source, str], Callable[[], None]]]:
    """The sources that are pictures, by their headers, why others are bad, and what moves the progress by a tile."""
    bad: dict[Source, str] = {}
    total, todo = 0, list[Source]()
    with quiet_pillow():
        for source in wanted:
            with noted(source, bad):
                width, height = picture.size_of(source.path)
                total += len(enlarger.tiles(max(1, width // shrink), max(1, height // shrink)))
                todo.append(source)
        with progress(total, "enlarging", "enlarged", "tiles") as advance:
            yield todo, bad, advance


@contextmanager
def noted(source: Source, bad: dict[Source, str]) -> Iterator[None]:
    """One picture that cannot be enlarged does not end the others."""
    try:
        yield
    except (BadFileError, ConfigError) as error:
        bad[source] = str(error).rstrip(".")
    except MemoryError:
        bad[source] = "there is not enough memory for it enlarged"


def settle(count: int, bad: dict[Source, str], done: str) -> None:
    """Name what could not be done: the user's mistake where that is everything."""
    if not bad:
        return
    if count == 1:
        raise ConfigError(*(f"{source} cannot be {done}: {reason}." for source, reason in bad.items()))
    lines = [f"\n  {source}: {reason}" for source, reason in bad.items()]
    text = f"{len(bad):,} of the {count:,} pictures cannot be {done}:{''.join(lines)}"
    raise ConfigError(text) if len(bad) == count else RunError(f"{text}\nThe others are done.")


def _where(kept: Fresh) -> str:
    place = shown(str(kept.path))
    return f"in {place}" if kept.new else f"and is in {place} already"
