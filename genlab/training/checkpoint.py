"""Checkpoints: one file a step, atomic and self-verifying, with tensors as safetensors and the rest as JSON."""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from genlab.registry import ConfigError

FORMAT = 2
"""The format of a checkpoint's tensors and facts; it changes if older versions cannot read newer files."""
_NAME = re.compile(r"step-(\d{10})-([0-9a-f]{16})\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """The content of one file."""

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    """Everything that is not a tensor."""
    digest: str
    """The first 16 hex digits of the file's sha256, which its name holds."""

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors under `name/`, without that prefix."""
        return {path[len(name) + 1 :]: value for path, value in self.tensors.items() if path.startswith(f"{name}/")}


class BrokenError(Exception):
    """A file whose content does not match its name."""


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
    """Write one checkpoint; after a power failure the file is complete or does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    data = packed(tensors, {"format": FORMAT, "step": step, **facts})
    path = folder / f"step-{step:010d}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    write_atomically(path, data)
    return path


def packed(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bytes:
    """Return tensors and facts as the content of a safetensors file."""
    from safetensors.torch import save as encode

    copies = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
    return encode(copies, metadata={"genlab": json.dumps(facts)})


def unpacked(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the facts of `packed`; raise a BrokenError if these are other bytes."""
    from safetensors import SafetensorError
    from safetensors.torch import load as decode

    try:
        tensors = decode(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = json.loads(header["__metadata__"]["genlab"])
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BrokenError(str(error)) from error
    if not isinstance(facts, dict):
        raise BrokenError("its facts are not a table")
    return tensors, facts


def write_atomically(path: Path, data: bytes) -> None:
    """Write a temporary file in the same folder, fsync it, rename it and fsync the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def steps(folder: Path) -> dict[int, Path]:
    """Return the file of each step, oldest first, by their names alone."""
    found = ((_NAME.fullmatch(path.name), path) for path in sorted(folder.glob("step-*.safetensors")))
    return {int(match[1]): path for match, path in found if match}


def load(path: Path) -> Checkpoint:
    """Read one file, after checking every byte of it against the hash in its name.

    Raise a BrokenError if it is damaged, and a ConfigError if a version with another format wrote it.
    """
    match = _NAME.fullmatch(path.name)
    data = path.read_bytes()
    if match is None or hashlib.sha256(data).hexdigest()[:16] != match[2]:
        raise BrokenError(f"{path} is damaged: its content does not match the hash in its name.")
    try:
        tensors, facts = unpacked(data)
        step = facts.pop("step")
    except (BrokenError, KeyError) as error:
        raise BrokenError(f"{path} is no checkpoint of genlab: {error}") from error
    if step != int(match[1]):
        raise BrokenError(f"{path} is damaged: its step is not the step in its name.")
    _check_format(path, facts.get("format", 1))
    return Checkpoint(int(match[1]), tensors, facts, match[2])


def _check_format(path: Path, number: object) -> None:
    if number != FORMAT:
        # Version 0.1 wrote no number.
        version = "genlab 0.1" if number == 1 else "another version of genlab"
        raise ConfigError(f"{path} was written by {version} (format {number}); this version reads format {FORMAT}.")


def newest(folder: Path, *, set_aside: bool = False) -> Checkpoint | None:
    """Return the newest good checkpoint; skip damaged ones with a warning, and rename them if `set_aside`."""
    bad: list[Path] = []
    for path in reversed(steps(folder).values()):
        try:
            found = load(path)
        except BrokenError as error:
            warnings.warn(f"{error} Trying the checkpoint before it.", stacklevel=2)
            bad.append(path)
            continue
        for broken in bad if set_aside else ():
            broken.rename(broken.with_suffix(".bad"))
        return found
    if bad:
        raise ConfigError(f"No checkpoint in {folder} can be read. To start again, train in another folder.")
    return None


def at(folder: Path, step: int) -> Checkpoint | None:
    """Return the checkpoint of this step, if it exists."""
    path = steps(folder).get(step)
    try:
        return load(path) if path else None
    except BrokenError as error:
        raise ConfigError(str(error)) from None


def prune(folder: Path, keep: int, also: Container[int | None]) -> None:
    """Delete all but the newest `keep` and those of the steps in `also`."""
    files = steps(folder)
    for step in sorted(files)[:-keep]:
        if step not in also:
            files[step].unlink()


def bests(folder: Path, keep: int) -> set[int]:
    """Return the step of the best checkpoint that each of the newest `keep` names."""
    positions = [_position_in(path) for path in list(steps(folder).values())[-keep:]]
    return {position["best"]["step"] for position in positions if position.get("best")}


def _position_in(path: Path) -> dict[str, Any]:
    """Return the position in a checkpoint of this run, without reading its tensors; empty if it is damaged."""
    try:
        with open(path, "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        position: dict[str, Any] = json.loads(header["__metadata__"]["genlab"])["position"]
    except (KeyError, ValueError, OverflowError):
        return {}
    return position


def delete_beside(kept: Path) -> None:
    """Delete all checkpoints of the step of this one and of later steps, except this one.

    The newest goes last: if the process is killed before, the resumed run starts there and comes back to this point.
    """
    files = [path for path in sorted(kept.parent.glob("step-*.safetensors")) if _NAME.fullmatch(path.name)]
    for path in files:
        if path != kept and _step_of(path) >= _step_of(kept):
            path.unlink()


def _step_of(path: Path) -> int:
    return int(path.name.split("-")[1])


def fitted(checkpoint: Checkpoint, part: str, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return one part of a checkpoint, after checking that its names, shapes and types are the wanted ones."""
    found = checkpoint.part(part)
    missing, foreign = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or foreign:
        detail = f"it lacks {missing[0]!r}" if missing else f"it holds {foreign[0]!r}"
        raise misfit(checkpoint, f"{detail} in its {part}")
    for name, value in wanted.items():
        if value.shape != found[name].shape:
            raise misfit(
                checkpoint, f"{name!r} is {tuple(found[name].shape)} and not {tuple(value.shape)} in its {part}"
            )
        if value.dtype != found[name].dtype:
            raise misfit(checkpoint, f"{name!r} is {found[name].dtype} and not {value.dtype} in its {part}")
    return found


def all_fitted(checkpoint: Checkpoint, wanted: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """Return every part of a checkpoint, after checking that each fits and that nothing else is there."""
    starts = tuple(f"{part}/" for part in wanted)
    if foreign := next((name for name in checkpoint.tensors if not name.startswith(starts)), None):
        raise misfit(checkpoint, f"it holds {foreign!r}")
    return {part: fitted(checkpoint, part, tensors) for part, tensors in wanted.items()}


def misfit(checkpoint: Checkpoint, detail: str) -> ConfigError:
    """Return the error for a checkpoint whose content does not belong to this model."""
    return ConfigError(f"The checkpoint of step {checkpoint.step} is of another model: {detail}.")
