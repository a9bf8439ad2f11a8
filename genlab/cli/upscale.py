"""`genlab upscale`: upscale pictures with a trained model."""

from functools import partial

import typer

from genlab.cli import options


def upscale(
    name: options.RunName,
    pictures: options.Pictures,
    out: options.Results = None,
    scale: options.Scale = None,
    compare: options.Compare = False,
    measure: options.Measure = False,
    features: options.FeaturesName = None,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
) -> None:
    """Upscale pictures: genlab upscale latest photos/ --compare"""
    from genlab.runs.run import find

    if features and not measure:
        raise typer.BadParameter("--features chooses what --measure compares by; add --measure.")
    if out and measure and not compare:
        raise typer.BadParameter("--measure writes nothing into --out; add --compare, or leave out --out.")
    run = find(name)
    from genlab import build, extractors
    from genlab.cli import tables
    from genlab.config import compose
    from genlab.lab import upscale as lab
    from genlab.runs.open import open_model
    from genlab.training.engine import choose_device, keep_freed_memory

    lab.refuse_unable(run)
    home = choose_device(device)
    upscaler = lab.upscaler_of(run, open_model(run, options.trust(trust)).to(home), scale)
    work = lab.Work(upscaler, out or run.path / "upscaled", run.facts["name"], compare, print)
    wanted = work.sources(pictures, measure=measure)
    if home.type == "cpu" and not work.large(wanted):
        keep_freed_memory()
    if measure:
        config = compose.load(run.path / "config.yaml")
        extractor = extractors.create(
            features,
            needs="maps",
            dataset=partial(build.build_data, config),
            data=config.data["name"],
            device=home,
            console=tables.console(),
        )
        rows, bad = work.measure(wanted, extractor)
        if rows:
            tables.terminal().print(tables.measured_table(rows, work.caption))
    else:
        bad = work.upscale(wanted)
    lab.settle(len(wanted), bad, "measured" if measure else "upscaled")
