"""A trained run as a Python object: its model, its metrics, and what the model can do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageColor
from torch import Tensor

from genlab.config import compose
from genlab.config.trust import Trust
from genlab.contract import (
    Batch,
    Decodes,
    Draws,
    Encodes,
    Infers,
    Model,
    Reconstructs,
    Samples,
    Scores,
    Styles,
    abilities_of,
    conditions,
    decoding_conditions,
    home,
)
from genlab.data.dataset import Dataset
from genlab.data.progress import progress
from genlab.evaluation import record
from genlab.evaluation.super_resolution import as_tensor
from genlab.evaluation.tiles import TiledUpscaler
from genlab.kinds import Classes, Image, Kind
from genlab.lab import picture
from genlab.lab.abilities import cannot
from genlab.lab.inputs import Fitting, Inputs, elements, items, numbers, values
from genlab.lab.prior import Prior, fitted_prior
from genlab.lab.upscale import upscaler_of
from genlab.randomness import generator, normal
from genlab.registry import ConfigError
from genlab.runs import open as open_run
from genlab.runs.open import Opened
from genlab.runs.run import Run as Folder
from genlab.training.engine import choose_device
from genlab.training.journal import read

if TYPE_CHECKING:
    from genlab.lab.augment import Study
    from genlab.lab.average import Average
    from genlab.lab.denoise import Denoised, NoiseSweep
    from genlab.lab.detect import Detection
    from genlab.lab.directions import Directions
    from genlab.lab.edit import Edit
    from genlab.lab.embed import Embedding, Method
    from genlab.lab.export.export import Exported
    from genlab.lab.export.export import Format as ExportFormat
    from genlab.lab.fit_prior import FittedPrior
    from genlab.lab.interpolate import Interpolation, Mode
    from genlab.lab.mix import Mix
    from genlab.lab.nearest import Nearest
    from genlab.lab.project import Projection, Space
    from genlab.lab.translate import Translated
    from genlab.lab.traverse import Axes, Traversal

Checkpoint = Literal["last", "best"]
Label = int | str | np.integer[Any] | Sequence[int | str] | NDArray[Any] | Tensor
"""A class by number or by name (upper or lower case), or one for each item."""

PriorName = Literal["auto", "fitted", "normal"]
TrackerName = Literal["wandb", "mlflow", "trackio"]

_ITEMS = 256
"""Items that go through the model at once."""
_SHORT = 8
"""Batches that are computed without showing progress."""


class Run:
    """A trained run. `genlab.load`, `genlab.train` and `genlab.runs` return it.

    All results are tensors on the CPU; `.numpy()` turns them into arrays. Images are floats, N x C x H x W in [0, 1].
    Token sequences are int64; `run.kinds["x"].decode` turns them into texts.
    Everything is computed in batches without gradients, and is the same in every call.

    ```python
    run = genlab.load("latest")
    run.sample(64, label="trouser", seed=1)
    run.reconstruct("photos/")
    ```

    Inputs are files, folders, patterns such as `photos/*.jpg`, PIL images, arrays, tensors, or lists of these. Files
    and PIL images are converted to the run's size and to grey or RGB: the middle is cut out and resized. Arrays and
    tensors must have the right size. They hold uint8 in 0..255 or floats in 0..1, with channels first or last.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        checkpoint: Checkpoint = "last",
        device: str = "auto",
        trust: bool | Trust = False,
        data: Path | None = None,
    ) -> None:
        if checkpoint not in ("last", "best"):
            raise ConfigError(f"checkpoint must be 'last' or 'best', got {checkpoint!r}.")
        self.path = Path(path)
        self._folder, self._checkpoint, self._device, self._data = Folder(self.path), checkpoint, device, data
        self._trust = trust if isinstance(trust, Trust) else Trust(trust)
        self._folder.check_format()

    def __repr__(self) -> str:
        facts = self._folder.facts
        steps = f" at step {facts['step']:,}" if "step" in facts else ""
        able = f"can {', '.join(self.abilities)}"
        parts = [
            f"genlab.Run {self.name}: {self._folder.state}{steps}",
            str(self.path),
            self.kinds["x"].describe(),
            able,
        ]
        return f"<{'; '.join(parts)}>"

    @property
    def name(self) -> str:
        """The names of the model and of the data, such as `vae-fashion-mini`."""
        return str(self._folder.facts["name"])

    @property
    def config(self) -> dict[str, Any]:
        """All settings as a nested dictionary, as in the run's config.yaml."""
        return compose.load(self.path / "config.yaml").plain

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each column: `x` holds the modelled items; `label` and others are there if the data has them."""
        return self._folder.kinds

    @property
    def abilities(self) -> tuple[str, ...]:
        """The abilities of the model: reconstruct, encode, decode, sample, score, upscale, translate, infer or mix."""
        noted = self._folder.facts.get("abilities")
        if noted is not None:
            return tuple(noted)
        return tuple(abilities_of(self.model))

    @property
    def history(self) -> list[dict[str, Any]]:
        """All lines of the run's metrics.jsonl: step, epoch, split and metrics."""
        return read(self.path)

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The newest line of each split: `run.metrics["validation"]["loss"]`."""
        return {str(line["split"]): {key: line[key] for key in line if key != "split"} for line in self.history}

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """Metrics of `genlab evaluate`, as in evaluation.json; None if nothing was measured."""
        return record.read(self._folder)

    @cached_property
    def _opened(self) -> Opened:
        if self._checkpoint == "last":
            return open_run.open_checkpoint(self._folder, trust=self._trust)
        _, best = open_run.open_both(self._folder, self._trust)
        if best is None:
            raise ConfigError(f"{self.path} has no best checkpoint. Use checkpoint='last'.")
        return best

    @cached_property
    def model(self) -> Model:
        """The model as a torch module on the device, in evaluation mode, with frozen weights."""
        return self._opened.model.to(choose_device(self._device))

    @property
    def step(self) -> int:
        """The step of the checkpoint."""
        return self._opened.step

    @property
    def checkpoint_digest(self) -> str:
        """The first 16 hex digits of the checkpoint's sha256."""
        return self._opened.digest

    @cached_property
    def dataset(self) -> Dataset:
        """The data that the run was trained on; a ConfigError if it has changed since then."""
        if compose.load(self.path / "config.yaml").plugins:
            # The source may be in a plugin, which is loaded with the model, if the user trusts it.
            _ = self._opened
        return open_run.open_data(self._folder, self._data)

    @cached_property
    def fitted_prior(self) -> Prior | None:
        """The prior that `fit_prior` has fitted to the codes of this checkpoint, if there is one."""
        return fitted_prior(self.path, self.checkpoint_digest, self.model)

    def sample(
        self,
        count: int = 16,
        *,
        label: Label | None = None,
        seed: int = 0,
        truncation: float = 1.0,
        prior: PriorName = "auto",
    ) -> Tensor:
        """Generate items.

        For a conditional model, `label` is a class, or a class for each item. Without it the classes are
        drawn at random, too. The same seed gives the same items; fewer items are the first ones of more.

        `prior` is `fitted` for the prior of `fit_prior`, `normal` for the model's own, or `auto` for the fitted one if
        there is one. A `truncation` below 1 moves each code towards the mean code: the distance between them is
        multiplied by it. The samples become more typical and less diverse, and 0 gives the item of the mean code. A
        model with styles, such as stylegan, moves styles towards their mean in place of codes.

        ```python
        run.sample(8, label=3)
        run.sample(2, label=["trouser", "bag"], seed=7)
        ```
        """
        model = self.model
        if prior == "normal" and not isinstance(model, Samples):
            raise self._cannot("sample with prior 'normal'")
        if isinstance(model, Styles):
            codes, condition = self.draw(count, label=label, seed=seed, prior=prior)
            return self.decode_styles(self.styles(codes, label=condition.get("label"), truncation=truncation))
        if isinstance(model, Draws) or self._prior(prior):
            codes, condition = self.draw(count, label=label, seed=seed, truncation=truncation, prior=prior)
            return self._decoded(codes, condition, "sampling")
        if not isinstance(model, Samples):
            raise self._cannot_sample()
        if truncation != 1:
            raise ConfigError(f"{self.name} has no codes that truncation could change. Leave out truncation.")
        count = at_least(1, "count", count)
        condition, draws = self._condition(label, count, drawing=True), generator(whole("seed", seed), "sample")

        def generate(places: Tensor) -> Tensor:
            part = {name: values[places].to(home(model)) for name, values in condition.items()}
            return model.sample(len(places), part or None, draws)

        return in_parts(generate, torch.arange(count), "sampling")

    def draw(
        self,
        count: int,
        *,
        label: Label | None = None,
        seed: int = 0,
        truncation: float = 1.0,
        prior: PriorName = "auto",
    ) -> tuple[Tensor, Batch]:
        """Draw the codes of samples, N x D, and the condition of each; the arguments are those of `sample`."""
        count, draws = at_least(1, "count", count), generator(whole("seed", seed), "sample")
        check_truncation(truncation)
        if truncation != 1 and isinstance(self.model, Styles):
            raise ConfigError(
                f"The truncation of {self.name} changes styles, not codes. Leave it out, and pass it to run.styles."
            )
        condition, model, fitted = self._condition(label, count, drawing=True), self.model, self._prior(prior)
        if fitted:
            condition = {**_drawn(conditions(model), count, seed), **condition}
            centre, codes = fitted.mean.float(), fitted.draw(count, draws, condition.get("label"))
        elif isinstance(model, Draws):
            codes, condition = model.draw(count, condition or None, draws)
            codes, centre = codes.cpu(), torch.zeros(())
        else:
            raise self._cannot_sample()
        return codes.lerp(centre.expand_as(codes), 1 - truncation), condition

    def reconstruct(self, inputs: Inputs | None = None, *, label: Label | None = None) -> Tensor:
        """Reconstruct items.

        Inputs may also be the name of a data set, which stands for its test items. Without inputs these are the test
        items of the run's own data. For a conditional model, `label` is the class of each item. Without it the model
        infers the class.

        ```python
        run.reconstruct("photos/")
        run.reconstruct()  # the run's own test items
        ```
        """
        from genlab.lab.given import given

        model = self.model
        if not isinstance(model, Reconstructs):
            raise self._cannot("reconstruct")
        return self.apply(model.reconstruct, given(self, inputs).items, label=label)

    def encode(self, inputs: Inputs, *, label: Label | None = None) -> Tensor:
        """Return the code of each item, N x D: of a VAE the mean.

        ```python
        codes = run.encode(["one.png", "two.png"])
        ```
        """
        model = self.model
        if not isinstance(model, Encodes):
            raise self._cannot("encode")
        return self._apply(model.encode, inputs, label)

    def decode(self, codes: Tensor | NDArray[Any] | Sequence[Any], *, label: Label | None = None) -> Tensor:
        """Turn codes into items: N x D numbers, or D numbers for one item.

        ```python
        first, last = run.encode(["one.png", "two.png"])
        between = run.decode([first.lerp(last, weight / 7) for weight in range(8)])
        ```
        """
        model = self.model
        if not isinstance(model, Decodes):
            raise self._cannot("decode")
        rows = numbers(codes, "codes, N x D")
        rows = rows[None] if rows.dim() == 1 else rows
        size = getattr(model, "latent_dim", None)
        if rows.dim() != 2 or (size is not None and rows.shape[1] != size):
            raise ConfigError(f"Codes of this run must be N x {size or 'D'}, got shape {tuple(rows.shape)}.")
        condition = self._condition(label, len(rows))
        if not condition and decoding_conditions(model):
            raise ConfigError(f"{self.name} is conditional and needs the class of each item: pass label=.")

        return self._decoded(rows, condition, "decoding")

    def styles(
        self, codes: Tensor | NDArray[Any] | Sequence[Any], *, label: Label | None = None, truncation: float = 1.0
    ) -> Tensor:
        """Return the style of each code, N x S, for a model whose layers are told styles, such as stylegan.

        The distance of each style from the mean style is multiplied by `truncation`; 0 gives the mean style.

        ```python
        first, second = run.styles(run.draw(2)[0])
        run.decode_styles(first.lerp(second, 0.5))
        ```
        """
        from genlab.lab import styles

        check_truncation(truncation)
        styles.styled(self)
        rows = numbers(codes, "codes, N x D")
        condition = self._condition(label, len(rows))
        found = styles.styles_of(self, rows, condition)
        return found if truncation == 1 else styles.mean_style(self, condition).lerp(found, truncation)

    def decode_styles(self, styles: Tensor | NDArray[Any] | Sequence[Any]) -> Tensor:
        """Turn styles into items: N x S, or N x layers x S for a style for each layer; or S numbers for one item."""
        from genlab.lab.styles import decoded

        rows = numbers(styles, "styles, N x S or N x layers x S")
        return decoded(self, rows[None] if rows.dim() == 1 else rows)

    def score(self, inputs: Inputs, *, label: Label | None = None) -> Tensor:
        """Return the score of each item in nats, N; higher is likelier. Of a VAE it is the evidence lower bound."""
        model = self.model
        if not isinstance(model, Scores):
            raise self._cannot("score")
        # Scores may draw codes at random; the fixed seed makes them the same in every call.
        with torch.random.fork_rng(devices=[home(model)] if home(model).type == "cuda" else []):
            torch.manual_seed(0)
            return self._apply(model.score, inputs, label)

    def interpolate(
        self,
        *inputs: Inputs,
        seeds: Sequence[int] | None = None,
        steps: int = 12,
        mode: Mode | None = None,
        label: Label | None = None,
        prior: PriorName = "auto",
        seed: int = 0,
        features: str | None = None,
    ) -> Interpolation:
        """Return the path between items through their codes, or between the samples of `seeds`.

        The path goes through all inputs in order, with `steps` items (default: 12) from each to the next. Without
        inputs and seeds, the ends are two test items that `seed` selects.

        The path in the codes is a line with mode `linear` and an arc with `spherical`. The default is `spherical` if
        the codes have a known prior, and `linear` if not. With a prior of `fit_prior`, the arc is between the
        standard normal numbers from which that prior draws.

        A conditional model infers the class of inputs. `label` is the class of all ends, or a class for each; samples
        have the first class by default.

        The result holds `items`, `codes`, `compared` (the other mode and the cross-fade) and `metrics`, which are
        measured at first use in the feature space `features` (default: the one that fits the data).

        ```python
        path = run.interpolate("one.png", "two.png", steps=8)
        path.items, path.metrics["spherical"]["length"]
        run.interpolate(seeds=(1, 2))
        ```
        """
        from genlab.lab.interpolate import interpolate

        given = inputs[0] if len(inputs) == 1 else list(inputs) or None
        return interpolate(
            self,
            given,
            seeds=seeds,
            steps=steps,
            mode=mode,
            label=label,
            prior=prior,
            seed=seed,
            features=features,
        )

    def traverse(
        self,
        picture: Inputs | None = None,
        *,
        units: int = 8,
        steps: int = 9,
        reach: float = 2.5,
        directions: Axes = "units",
        layers: str | Sequence[int] | None = None,
        label: Label | None = None,
        prior: PriorName = "auto",
        seed: int = 0,
    ) -> Traversal:
        """Vary one unit at a time in the code of an item, and decode.

        The `units` (default: 8) are those with the largest KL divergence from the prior, or the largest variance over
        test items for a model without a posterior. Each takes `steps` values (default: 9) up to `reach` standard
        deviations (default: 2.5) of the unit from its mean: under the prior, or over test items without a prior.

        Without `picture`, `seed` selects a test item. For a model that does not encode, `seed` draws the code, and
        the units are those that change the item most.

        The result holds `items`, U x S x the shape of one item, the `values`, and the `units` with their metrics. If
        the data has attributes, each unit says which of them it follows.

        With `directions="sefa"` a model with styles, such as stylegan, varies its style along the directions that
        change the layers most (Shen and Zhou 2021), in all layers or in `layers`, such as `0-3`.

        ```python
        rows = run.traverse("face.png", units=4)
        rows.items[0], rows.units[0].follows
        ```
        """
        from genlab.lab.traverse import traverse

        return traverse(
            self,
            picture,
            units=units,
            steps=steps,
            reach=reach,
            directions=directions,
            layers=layers,
            label=label,
            prior=prior,
            seed=seed,
        )

    def mix(
        self,
        *,
        rows: int = 5,
        columns: int = 6,
        layers: str | Sequence[int] | None = None,
        label: Label | None = None,
        truncation: float = 1.0,
        seed: int = 0,
    ) -> Mix:
        """Mix the styles of samples, for a model with styles such as stylegan.

        `layers`, such as `4-7` or `[0, 1]`, take the styles of the samples of the columns, and all others those of the
        samples of the rows. By default these are the finer half. The samples are drawn with `seed`, rows first.

        ```python
        found = run.mix(rows=2, columns=3, layers="0-2")
        found.items[0, 1]  # sample 0 of the rows with the coarse features of sample 1 of the columns
        ```
        """
        from genlab.lab.mix import mix

        return mix(self, rows=rows, columns=columns, layers=layers, label=label, truncation=truncation, seed=seed)

    def project(
        self,
        inputs: Inputs | None = None,
        *,
        steps: int = 500,
        space: Space = "w",
        features: str | None = None,
        label: Label | None = None,
        count: int = 8,
        seed: int = 0,
    ) -> Projection:
        """Find the styles whose images are most like pictures, for a model with styles such as stylegan.

        The search begins at the mean style, and moves by the gradient of the squared error and of the distance between
        feature maps: those of `features` (default: lite0 if it is installed, else pixels only). With space `w` all
        layers have one style. With `w+` each has its own, which is more exact but less like what the model generates.
        Without inputs, `count` test items (default: 8) are projected.

        ```python
        found = run.project("photo.png", space="w+")
        found.items, found.styles, found.means["projection"]["PSNR"]
        ```
        """
        from genlab.lab.given import given
        from genlab.lab.project import project
        from genlab.lab.styles import styled

        styled(self)
        pictures = given(self, inputs, count=at_least(1, "count", count))
        return project(self, pictures, steps=steps, space=space, features=features, label=label, seed=seed)

    def fit_prior(
        self,
        components: Sequence[int] = (10, 50),
        *,
        second_stage: bool = False,
        count: int | None = None,
        seed: int = 0,
    ) -> FittedPrior:
        """Fit a prior to the codes of the training items, and keep it in the run: `sample` then uses it.

        An autoencoder can sample only with a fitted prior, and most VAEs sample better with one. The prior is a mixture
        of Gaussians. Their number is one of `components`, or 1, and the likelihood of held-out codes chooses it. The
        classes of a conditional model share the Gaussians, so that a sample of a class has a code of that class. With
        `second_stage` the prior is a VAE of the codes. The result has the nats of a code by each prior. It also has the
        distance from test items for `count` samples (default: 10,000, at most as many as there are test items) of the
        prior before and of the fitted one, and for decoded training codes, whose distance no prior can be expected to
        beat. A `count` of 0 compares nothing. A prior that the run had is replaced.

        ```python
        run.fit_prior(components=[10, 50, 100]).metrics
        run.sample(64)
        ```
        """
        from genlab.lab.fit_prior import fit_prior

        return fit_prior(self, components, second_stage=second_stage, count=count, seed=seed)

    @cached_property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """The attributes of the run's data, which `edit` and `average` take: the names of the values; none of numbers.

        The label comes last. A ConfigError is raised if the data has none.
        """
        from genlab.lab.attributes import attributes_of

        return {name: getattr(column.kind, "names", ()) for name, column in attributes_of(self).items()}

    def edit(
        self,
        inputs: Inputs | None = None,
        *,
        add: str | Sequence[str] = (),
        remove: str | Sequence[str] = (),
        strength: float = 1.25,
        residual: bool = False,
        directions: Directions = "own",
        count: int = 12,
        measure: bool = False,
    ) -> Edit:
        """Add attributes to items, or remove them, by arithmetic with their codes.

        `add` and `remove` take names such as `smile`, `hair=red` for an attribute of several values, or `size` for a
        number; several of them as a list. `run.attributes` lists the names. The direction of each is added to codes,
        multiplied by `strength` (default: 1.25); a number changes by one std times the strength. Without inputs,
        `count` test items (default: 12) that lack the attributes are edited.

        Directions come from at most 10,000 training items. With `own` each item has its own, given its other
        attributes, which are read from its code. With `joint` all items share one, by least squares over all
        attributes together, and with `means` it is the mean code of the items with the attribute minus that of the
        others. With `residual` the input itself is changed by the difference of the decoded codes, which keeps all
        that the model cannot reconstruct.

        The result holds `edited`, `reconstructed`, `codes` and `directions`. With `measure` it holds `metrics` of test
        items: by a classifier of the attributes, which is trained once, and, for drawn data, the squared error
        against the item that is truly redrawn.

        ```python
        happy = run.edit("photos/", add="smile", remove=["hat", "hair=red"], residual=True)
        happy.edited
        ```
        """
        from genlab.lab.edit import edit

        return edit(
            self,
            inputs,
            add=add,
            remove=remove,
            strength=strength,
            residual=residual,
            directions=directions,
            count=count,
            measure=measure,
        )

    def average(self, by: str | None = None, *, measure: bool = False) -> Average:
        """Return the decoded mean code of each value of an attribute, beside the mean of the items themselves.

        `by` is an attribute (default: the label, or all items together without labels). A number is divided into four
        parts of equal size. At most 10,000 training items are averaged. The result holds `values`, `items`, `means`
        and `codes`. With `measure`, `metrics` says how many averages show their value to a classifier, in %.

        ```python
        smiles = run.average("smile")
        dict(zip(smiles.values, smiles.items))
        ```
        """
        from genlab.lab.average import average

        return average(self, by=by, measure=measure)

    def denoise(self, inputs: Inputs | None = None, noise: float | None = None, *, seed: int = 0) -> Denoised:
        """Remove noise from items, or add noise first and measure.

        The inputs are those of `reconstruct`. Without `noise` they are cleaned as they are. Otherwise normal noise of
        this standard deviation is added first (white is 1). The result then has `means`: PSNR and SSIM of the noisy
        images, of the model, of a median filter, and of non-local means. `cleaned` has the items by method.

        ```python
        cleaned = run.denoise("photos/").cleaned["model"]
        run.denoise(noise=0.3).means
        ```
        """
        from genlab.lab.denoise import denoise, refuse_unable
        from genlab.lab.given import given

        refuse_unable(self)
        return denoise(self, given(self, inputs), noise=noise, seed=seed)

    def sweep_noise(
        self, inputs: Inputs | None = None, noises: Sequence[float] = (0.1, 0.2, 0.3, 0.5), *, seed: int = 0
    ) -> NoiseSweep:
        """Measure denoising at several levels of noise, as `denoise` does at one.

        ```python
        run.sweep_noise().means[0.3]["model"]["PSNR"]
        ```
        """
        from genlab.lab.denoise import refuse_unable, sweep
        from genlab.lab.given import given

        refuse_unable(self)
        return sweep(self, given(self, inputs), noises=noises, seed=seed)

    def augment(
        self,
        sizes: Sequence[int],
        *,
        seeds: int = 3,
        share: float = 0.25,
        steps: int = 1500,
        out: Path | str | None = None,
        **settings: Any,
    ) -> Study:
        """Measure how much generated images help a classifier that has few real ones.

        For each number of images in `sizes` and each of `seeds` draws, a generator of this run's recipe is trained on
        these images only. Then classifiers with `steps` training steps each learn from the real images, with ordinary
        augmentation, with a `share` of each batch generated, with both, and from generated images only. `rows` of the
        result has the mean accuracies, and the gains in points with paired 95 % intervals. `genlab.lab.augment.augment`
        takes several runs, and lists the further `settings`.

        This takes minutes to hours. Each result is written into `out` at once (default: lab/augment in the run), and
        the same call continues a study that was stopped.

        ```python
        study = run.augment([1000, 5000])
        for row in study.rows:
            print(row.images, row.arm, row.accuracy, row.over_real)
        ```
        """
        from genlab.lab.augment import augment, default_folder
        from genlab.lab.results import Results

        results = Results(Path(out) if out else default_folder(self))
        return augment([self], sizes, seeds=seeds, share=share, steps=steps, results=results, **settings)

    def embed(
        self,
        inputs: Inputs | None = None,
        method: Method = "pca",
        dimensions: int = 2,
        *,
        count: int = 2_000,
        by: str | None = None,
        seed: int = 0,
    ) -> Embedding:
        """Encode items, and reduce the codes to 1, 2 or 3 numbers for a plot.

        The items are `count` test items, or `inputs`. The method is `pca`, `tsne` or `umap`. `metrics` of the result
        has the trustworthiness, the accuracy of 15 neighbours and of a linear probe, beside PCA of the pixels. Training
        items predict the attribute `by` (default: the label).

        ```python
        found = run.embed(method="tsne")
        found.coordinates, found.codes, found.metrics
        ```
        """
        from genlab.lab.embed import embed

        return embed(self, inputs, method=method, dimensions=dimensions, count=count, by=by, seed=seed)

    def nearest(self, inputs: Inputs | None = None, count: int = 16, neighbours: int = 5, *, seed: int = 0) -> Nearest:
        """Search the training items that are nearest to samples, or to `inputs`: does the model copy?

        `rows`, `distances` and `neighbours` of the result are in order, the nearest first, in the spaces `code` (if the
        model encodes) and `pixels`. A distance is the root mean square of the differences. `metrics` has the share of
        copies, beside that of test items.

        ```python
        found = run.nearest(count=100)
        found.rows["pixels"][0], found.distances["pixels"][0], found.metrics
        ```
        """
        from genlab.lab.nearest import nearest

        return nearest(self, inputs, count=count, neighbours=neighbours, seed=seed)

    def detect(
        self,
        inputs: Inputs | None = None,
        by: str = "error",
        calibrate: float | None = None,
        *,
        threshold: float | None = None,
        normal: str | int | Sequence[str | int] = (),
        count: int | None = 10_000,
    ) -> Detection:
        """Score items for anomaly (default: at most 10,000 of the run's test items).

        `by` is `error` (squared error of the reconstruction), `smooth` (the same, averaged over 3 x 3 pixels before it
        is squared), `code` (distance to the nearest training codes), `combined` (smooth and code), or `score`
        (negative score in nats). With `calibrate`, a rate of false alarms such as 0.05, a threshold is chosen from the
        run's validation items; or give a `threshold`. `normal` are the normal classes (default: those of data.keep).

        The result has `scores` in the order of the items, `order`, `threshold`, `flagged`, and `metrics`: AUROC and
        average precision beside PCA and nearest neighbours, if there are normal items and others.

        ```python
        found = run.detect("photos/", calibrate=0.05)
        [found.given.names[place] for place in found.order if found.flagged[place]]
        ```
        """
        from genlab.lab.detect import check, detect
        from genlab.lab.given import given

        check(self, by, calibrate, threshold)
        items = given(self, inputs, count=count)
        return detect(self, items, by=by, calibrate=calibrate, threshold=threshold, normal=normal)

    def export(
        self,
        form: ExportFormat = "onnx",
        *,
        only: Sequence[str] = (),
        prior: PriorName = "auto",
        out: Path | str | None = None,
    ) -> Exported:
        """Export the model for other programs.

        With `onnx` each ability becomes a file for onnxruntime, and with `torch` an archive of torch.export. `only`
        names the abilities (default: all). The file export.json describes inputs and outputs. Each file is compared
        with the model, and refused if the largest difference is above 1e-4. With `hub` the result is a folder for the
        Hugging Face Hub: weights, config and a model card. Nothing is uploaded.

        The files go into `out` (default: lab/export-1 in the run, or the next number). Samples take their noise as an
        input. They come from the fitted prior with `prior` auto, if there is one.

        ```python
        found = run.export("onnx", only=["decode"])
        found.files["decode"], found.differences["decode"]
        ```
        """
        from genlab.lab.export.export import export
        from genlab.lab.results import Results

        return export(self, form, Results(Path(out)) if out else None, only=only, prior=prior)

    def track(self, to: TrackerName, *, project: str = "genlab", follow: bool = False) -> None:
        """Send the run to an experiment tracker: settings, metrics, previews and the evaluation.

        Only what the tracker has not got yet is sent. With `follow`, a run in training is watched until it ends.

        ```python
        run.track("mlflow", project="faces")
        ```
        """
        from genlab.lab.track import track

        track([str(self.path)], to, project, follow=follow)

    def translate(
        self,
        inputs: Inputs | None = None,
        to: str | int | None = None,
        *,
        as_is: bool = False,
        count: int = 48,
        seed: int = 0,
    ) -> Translated:
        """Translate pictures: with `cyclegan` into the class `to`, with `pix2pix` from inputs to targets.

        Without inputs these are `count` test items (default: 48) of the run's own data. `to` can be left out if the
        classes of the items are known: each is then translated into the other one. The tasks colorize, inpaint and
        edges of `pix2pix` first take the colour, a box or all but the edges from the pictures, and compare the result
        with them. With `as_is` the pictures are such inputs already: grey, with a grey box, or drawings of edges.

        The result has `translated`, N x C x H x W. `rows` has the inputs, the translations, and what is known besides;
        `means` has PSNR and SSIM if the targets are known.

        ```python
        run.translate("photos/", to="hat").translated
        ```
        """
        from genlab.lab.translate import translate

        return translate(self, inputs, to=to, as_is=as_is, count=count, seed=seed)

    def upscale(self, inputs: Inputs) -> Tensor:
        """Upscale images of any size, tile by tile: N x C x sH x sW in [0, 1], s times larger each way.

        Files and PIL images give the same pixels as `genlab upscale`, without transparency. All images of one call must
        have the same size.

        ```python
        large = run.upscale("holiday.jpg")
        ```
        """
        upscaler = upscaler_of(self._folder, self.model)
        large = [_upscale(upscaler, self.kinds["x"], element) for element in elements(inputs)]
        if len({tuple(images.shape[1:]) for images in large}) != 1:
            sizes = ", ".join(sorted({" x ".join(map(str, images.shape[1:])) for images in large}))
            raise ConfigError(f"Upscale images of one size at a time: the results would be {sizes or 'none'}.")
        return torch.cat(large)

    def _apply(self, function: Callable[[Batch], Tensor], inputs: Inputs, label: Label | None) -> Tensor:
        """Apply an ability to inputs in batches."""
        return self.apply(function, items(self.kinds["x"], inputs, self.fitting), label=label)

    def apply(self, function: Callable[[Batch], Tensor], items: Tensor, *, label: Label | None = None) -> Tensor:
        """Apply a function of a batch, such as `run.model.reconstruct`, to items; they are used as they are.

        The items may have values that inputs cannot have, such as noisy images. A conditional model infers the class
        if there is no `label`.
        """
        condition, place = self._condition(label, len(items)), home(self.model)

        def apply(places: Tensor) -> Tensor:
            batch = {name: values[places].to(place) for name, values in {"x": items, **condition}.items()}
            return function(self._with_condition(batch))

        return in_parts(apply, torch.arange(len(items)), "computing")

    def _decoded(self, codes: Tensor, condition: Batch, doing: str) -> Tensor:
        """Decode codes in batches."""
        model = self.model
        assert isinstance(model, Decodes)
        place = home(model)

        def decode(places: Tensor) -> Tensor:
            part = {name: values[places].to(place) for name, values in condition.items()}
            return model.decode(codes[places].to(place), part or None)

        return in_parts(decode, torch.arange(len(codes)), doing)

    def _prior(self, name: PriorName) -> Prior | None:
        """Return the fitted prior if it is to be used."""
        if name not in get_args(PriorName):
            raise ConfigError(f"prior must be one of {', '.join(get_args(PriorName))}, got {name!r}.")
        if name == "fitted" and not self.fitted_prior:
            if isinstance(self.model, Samples) and not isinstance(self.model, Draws):
                raise ConfigError(f"{self.name} has a prior that it has learned itself. Use --prior auto.")
            raise ConfigError(f"{self.path} has no fitted prior. Fit one: genlab fit-prior {self.path}")
        return None if name == "normal" else self.fitted_prior

    def _cannot_sample(self) -> ConfigError:
        if isinstance(self.model, Samples) and not isinstance(self.model, Draws):
            return ConfigError(
                f"{self.name} cannot draw codes: it samples from a prior that it has learned itself. "
                f"Use items, or its samples as they are: genlab sample {self.path}"
            )
        if isinstance(self.model, Encodes) and isinstance(self.model, Decodes):
            return ConfigError(
                f"{self.name} cannot sample: its codes have no known distribution. "
                f"Fit one: genlab fit-prior {self.path}"
            )
        return self._cannot("sample")

    def _with_condition(self, batch: Batch) -> Batch:
        """Let the model infer the condition if it is not given."""
        told = decoding_conditions(self.model)
        if told.keys() <= batch.keys():
            return batch
        if not isinstance(self.model, Infers):
            raise ConfigError(f"{self.name} is conditional and needs the class of each item: pass label=.")
        return {**self.model.infer(batch), **batch}

    def _told(self, rows: Tensor, label: Label | None) -> Batch:
        """Return the condition of items: the given classes, or those that the model infers; nothing without one."""
        if label is not None or not decoding_conditions(self.model):
            return self._condition(label, len(rows))

        def infer(places: Tensor) -> Tensor:
            return self._with_condition({"x": rows[places].to(home(self.model))})["label"]

        return {"label": in_parts(infer, torch.arange(len(rows)), "inferring")}

    def _condition(self, label: Label | None, count: int, drawing: bool = False) -> Batch:
        """Return the labels as a condition; nothing without labels. `drawing` is true if codes are to be drawn."""
        if label is None:
            return {}
        told = conditions(self.model) if drawing else decoding_conditions(self.model)
        if "label" not in told and conditions(self.model):
            raise ConfigError(
                f"The codes of {self.name} hold the class, so a label changes nothing here. Leave it out. "
                f"Samples take a label: genlab sample {self.path} --label {label}"
            )
        if "label" not in told:
            raise ConfigError(f"{self.name} is not conditional. Leave out the label, or train a conditional model.")
        return {"label": labels_of(label, told["label"], count)}

    @property
    def fitting(self) -> Fitting:
        """The way in which the run's own data brings pictures to one size."""
        data: Mapping[str, Any] = self.config["data"]
        if data.get("class") not in ("folder", "parquet"):
            return Fitting()
        ground = ImageColor.getrgb(data["background"])
        return Fitting(data["crop"] != "none", (ground[0], ground[1], ground[2]))

    def _cannot(self, ability: str) -> ConfigError:
        return cannot(self._folder, ability, self.abilities)


def check_truncation(truncation: float) -> None:
    """Raise a ConfigError for a truncation below 0, or one that is not finite."""
    if not 0 <= truncation < math.inf:
        raise ConfigError(f"truncation must be 0 or more, got {truncation:g}.")


def at_least(least: int, name: str, value: object) -> int:
    """Return an argument that must be an integer and not below `least`."""
    number = whole(name, value)
    if number < least:
        raise ConfigError(f"{name} must be at least {least}, got {number}.")
    return number


def whole(name: str, value: object) -> int:
    """Return an argument that must be an integer, of Python or of numpy."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ConfigError(f"{name} must be an integer, got {value!r}.")
    return int(value)


@torch.no_grad()
def in_parts(function: Callable[[Tensor], Tensor], places: Tensor, doing: str) -> Tensor:
    """Apply a function to the places of items, a few at a time and without gradients; return the results together."""
    parts = torch.split(places, _ITEMS)
    shown = progress(len(parts), doing, "done", "batches") if len(parts) > _SHORT else nullcontext(lambda: None)
    results = list[Tensor]()
    with shown as advance:
        for part in parts:
            results.append(function(part).cpu())
            advance()
    found = torch.cat(results)
    # Symbols of token sequences stay integers, so that their kind can decode them.
    return found.float() if found.is_floating_point() else found


@torch.no_grad()
def _upscale(upscaler: TiledUpscaler, kind: Kind, element: Path | Pillow.Image | Tensor) -> Tensor:
    assert isinstance(kind, Image)
    if isinstance(element, Tensor):
        return upscaler.upscale_images(values(kind, element, None, None))
    small = picture.open_plain(element)
    large = upscaler.upscale(small)
    return as_tensor(large.convert(large.mode.removesuffix("A")))


def _drawn(told: Mapping[str, Classes], count: int, seed: int) -> Batch:
    """Draw a class for each sample, all equally likely; fewer classes are the first ones of more."""
    draws = generator(seed, "sample/condition")
    shares = torch.special.ndtr(normal(count, max(1, len(told)), device=torch.device("cpu"), generator=draws))
    return {
        name: (shares[:, place] * len(classes)).long().clamp(max=len(classes) - 1)
        for place, (name, classes) in enumerate(told.items())
    }


def labels_of(label: Label, classes: Classes, count: int) -> Tensor:
    """Return the number of a class for each item."""
    if isinstance(label, Tensor | np.ndarray):
        label = label.tolist()
    if not isinstance(label, Sequence) or isinstance(label, str):
        return torch.full((count,), classes.number(label))
    given = torch.tensor([classes.number(each) for each in label], dtype=torch.int64)
    if len(given) != count:
        raise ConfigError(f"label must be one class or {count} classes, got {len(given)}.")
    return given
