"""A refused resume of a run of a sweep names a command that trains the same run with the other setting."""

import shlex
from pathlib import Path

import pytest

from genlab.config import compose, schema
from tests.fixtures.program import TINY, assert_refused, genlab

SWEPT = {
    "a model and lists": ["model=vae,ae", "data.keep=[0,'3',7]", "model.fitted_prior=[]"],
    "nulls and numbers": ["seed=1,2", "model.optimizers.model.clip=null", "model.optimizers.model.lr=1e-05"],
    "texts and truths": ["model.beta=0.5,4", "trainer.rollback=true", "model.best=reconstruction", "data.balance=true"],
}


@pytest.mark.parametrize("swept", SWEPT.values(), ids=SWEPT)
def test_the_command_of_a_refused_resume_runs_as_it_is_printed(tmp_path: Path, swept: list[str]) -> None:
    done = genlab(tmp_path, "train", "-m", *TINY, *swept, "run=my sweep")
    assert done.returncode == 0, done.stderr
    run = sorted(path for path in (tmp_path / "my sweep").iterdir() if path.is_dir())[0]
    refused = genlab(tmp_path, "resume", str(run), "model.latent_dim=3")
    assert_refused(refused, "To train a new run from the weights of this one: ")
    command = refused.stderr.strip().rpartition("from the weights of this one: ")[2]
    again = genlab(tmp_path, *shlex.split(command)[1:], "run=again")
    assert again.returncode == 0, again.stderr
    before, after = (compose.load(folder / "config.yaml").plain for folder in (run, tmp_path / "again"))
    assert set(schema.differences(before, after)) == {"model.latent_dim", "run", "start"}
