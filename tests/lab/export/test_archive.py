"""Archives of torch.export can be loaded and run without genlab."""

from pathlib import Path

import torch

import genlab


def test_an_archive_computes_what_the_model_computes(trained: Path) -> None:
    run = genlab.load(trained / "vae")
    found = run.export("torch", only=["decode", "encode"])
    assert set(found.files) == {"decode", "encode"}
    assert max(found.differences.values()) < 1e-6
    decode = torch.export.load(found.files["decode"]).module()
    codes = torch.randn(11, run.config["model"]["latent_dim"])
    torch.testing.assert_close(decode(codes), run.decode(codes))
