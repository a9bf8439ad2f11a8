"""Checkpoints: one file a step, which is complete and verified, or skipped."""

import ast
import errno
import hashlib
import os
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as encode

from genlab.registry import ConfigError
from genlab.training import checkpoint

TENSORS = {"model/weight": torch.arange(6.0).reshape(2, 3), "model/count": torch.tensor(7), "tally/0": torch.zeros(2)}
FACTS = {"position": {"step": 3, "best": None}}


def saved(folder: Path, *steps: int) -> list[Path]:
    return [checkpoint.save(folder, step, {**TENSORS, "model/step": torch.tensor(step)}, FACTS) for step in steps]


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    (path,) = saved(tmp_path, 3)
    found = checkpoint.load(path)
    assert (found.step, found.facts) == (3, {"format": checkpoint.FORMAT, **FACTS})
    assert set(found.part("model")) == {"weight", "count", "step"}
    assert torch.equal(found.part("model")["weight"], TENSORS["model/weight"])
    assert found.part("model")["count"].dtype == torch.int64


def test_saving_the_same_twice_gives_the_same_file(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "a", 1)[0], saved(tmp_path / "b", 1)[0]
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:10] + bytes([data[10] ^ 128]) + data[11:],
        lambda data: b"",
    ],
    ids=["truncated", "last bit flipped", "header's bit flipped", "empty"],
)
def test_a_damaged_file_is_set_aside_and_the_one_before_is_used(tmp_path: Path, harm: object) -> None:
    _, good, bad = saved(tmp_path, 1, 2, 3)
    bad.write_bytes(harm(bad.read_bytes()))  # type: ignore[operator]
    with pytest.warns(UserWarning, match="is damaged"):
        found = checkpoint.newest(tmp_path, set_aside=True)
    assert found
    assert found.step == 2
    assert not bad.exists()
    assert bad.with_suffix(".bad").exists()
    assert good.exists()


def test_a_half_written_file_is_not_a_checkpoint(tmp_path: Path) -> None:
    path = saved(tmp_path, 1)[0]
    (tmp_path / f".{path.name.replace('0001', '0002')}.77.tmp").write_bytes(path.read_bytes()[:50])
    found = checkpoint.newest(tmp_path)
    assert found
    assert found.step == 1


def written(folder: Path, facts: str) -> Path:
    """Write a checkpoint of step 5 with any metadata."""
    data = encode({"weight": torch.zeros(2)}, metadata={"genlab": facts})
    path = folder / f"step-{5:010d}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("facts", "writer"),
    [
        ('{"step": 5}', "genlab 0.1 (format 1)"),
        ('{"step": 5, "format": 1}', "genlab 0.1 (format 1)"),
        ('{"step": 5, "format": 3}', "another version of genlab (format 3)"),
    ],
)
def test_a_checkpoint_of_another_format_is_refused_with_the_version_that_wrote_it(
    tmp_path: Path, facts: str, writer: str
) -> None:
    saved(tmp_path, 4)
    path = written(tmp_path, facts)
    sentence = f"{path} was written by {writer}; this version reads format {checkpoint.FORMAT}."
    # An older checkpoint is no way out: the file is good, and training must not go back.
    for read in (checkpoint.newest, lambda folder: checkpoint.at(folder, 5)):
        with pytest.raises(ConfigError, match=re.escape(sentence)):
            read(tmp_path)
    assert path.exists()


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    data = encode({"weight": torch.zeros(2)})
    path = tmp_path / f"step-{5:010d}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    path.write_bytes(data)
    with pytest.raises(checkpoint.BrokenError, match="is no checkpoint of genlab"):
        checkpoint.load(path)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "boom"),)

    data = pickle.dumps(Bomb())
    path = tmp_path / f"step-{5:010d}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="no checkpoint"), pytest.raises(ConfigError, match="can be read"):
        checkpoint.newest(tmp_path)
    assert not (tmp_path / "boom").exists()


def test_no_file_of_the_package_unpickles() -> None:
    package = Path(checkpoint.__file__).parents[1]
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not names & {"pickle", "cloudpickle", "dill", "shelve"}, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load":
                # Published weights, which are known by their hash, may come in torch's own format: tensors only.
                alone = "weights_only=True" in [ast.unparse(word) for word in node.keywords]
                assert ast.unparse(node.func.value) != "torch" or alone, path


def test_a_full_disk_leaves_no_trace_and_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, 1)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        saved(tmp_path, 2)
    monkeypatch.undo()
    assert [path.name[:15] for path in tmp_path.iterdir()] == ["step-0000000001"]
    found = checkpoint.newest(tmp_path)
    assert found
    assert found.step == 1


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 3, 4, 5)
    checkpoint.prune(tmp_path, keep=2, also={2})
    assert list(checkpoint.steps(tmp_path)) == [2, 4, 5]


def test_a_checkpoint_of_another_model_is_named_as_such(tmp_path: Path) -> None:
    found = checkpoint.load(saved(tmp_path, 3)[0])
    wanted = found.part("model")
    with pytest.raises(ConfigError, match="another model: it lacks 'bias'"):
        checkpoint.fitted(found, "model", {**wanted, "bias": torch.zeros(1)})
    with pytest.raises(ConfigError, match="another model: it holds 'count'"):
        checkpoint.fitted(found, "model", {name: value for name, value in wanted.items() if name != "count"})
    with pytest.raises(ConfigError, match=r"'weight' is \(2, 3\) and not \(9, 3\)"):
        checkpoint.fitted(found, "model", {**wanted, "weight": torch.zeros(9, 3)})
