"""The map that all code follows, read off the code itself."""

import ast
from pathlib import Path

import pytest

import genlab

PACKAGE = Path(genlab.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Each part may import from itself and from the parts that are listed with it, and from nothing else of ours.
GROUND = {"registry", "randomness", "game", "resampling"}
MAY_IMPORT = {
    "registry": set(),
    "mistakes": {"registry"},
    "randomness": set(),
    "density": set(),
    "resampling": set(),
    "game": {"density"},
    "networks": set(),
    "models": {*GROUND, "networks"},
    "data": {*GROUND, "density"},
    "training": {*GROUND, "data"},
    "evaluation": {*GROUND, "networks", "data", "training"},
    "trust": {"registry", "data", "training"},
    "plugins": {"registry", "trust"},
    "config": {"registry", "training"},
    "run": {"registry", "training"},
    "description": {"config", "run", "training"},
    "lab": {*GROUND, "density", "networks", "data", "evaluation", "run"},
    "start": {"registry", "game", "config", "training"},
    "arguments": {"overrides", "run"},
    "overrides": {"registry", "config"},
    "comparison_tables": {"evaluation", "lab", "training"},
    "report": {"registry", "data", "evaluation", "training", "run", "overrides", "comparison_tables"},
}
# What brings the parts together.
FREE = {"assembly", "sweeping", "evaluating", "comparing", "cli", "__init__", "__main__"}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """The parts of genlab that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in found if name.startswith("genlab.")} - {"__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    part = part_of(path)
    if part in MAY_IMPORT:
        assert imports_of(path) <= MAY_IMPORT[part] | {part}
    else:
        assert part in FREE


def test_the_map_knows_every_part() -> None:
    assert {part_of(path) for path in FILES} <= set(MAY_IMPORT) | FREE


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("hydra", {"config.py"}),
        ("omegaconf", {"config.py"}),
        ("typer", {"cli.py", "arguments.py"}),
        ("safetensors", {"training/checkpoint.py"}),
        ("tensorboard", {"training/journal.py"}),
        ("matplotlib", {"lab/compare/panels.py"}),
    ],
)
def test_a_library_has_one_home(library: str, homes: set[str]) -> None:
    for path in FILES:
        names = {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [str(node.module)]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        if any(name.split(".")[0] == library or f".{library}" in name for name in names):
            assert str(path.relative_to(PACKAGE)) in homes


def test_files_and_functions_stay_short() -> None:
    for path in FILES:
        text = path.read_text()
        assert text.count("\n") <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 40, f"{path}: {node.name}"


def test_no_file_is_a_drawer() -> None:
    assert not {path.stem for path in FILES} & {"utils", "helpers", "common", "misc"}


def test_models_know_no_device_and_never_wait_for_one() -> None:
    for path in (PACKAGE / "models").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert name not in {"item", "cpu", "cuda", "print", "backward", "step", "tolist"}, f"{path}: {name}"
