"""The map of the package: who may import whom, read off the code itself."""

import ast
import functools
from pathlib import Path

import genlab

PACKAGE = Path(genlab.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Each part may import from the parts above it in this list and from those on its own line; __init__ is lazy.
ORDER = [
    {"registry", "charts", "pages"},
    {"distributed"},
    {"randomness"},
    {"kinds"},
    {"contract"},
    {"networks"},
    {"models", "data"},
    {"training"},
    {"metrics"},
    {"extractors"},
    {"config"},
    {"build"},
    {"runs"},
    {"evaluation"},
    {"comparison", "lab"},
    {"search"},
    {"report"},
    {"explore"},
    {"cli"},
    {"__init__", "__main__"},
]
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}
LIBRARIES = {
    "hydra": {"config/compose.py", "config/sweeps.py"},
    "omegaconf": {"config/compose.py", "config/sweeps.py"},
    "optuna": {"search"},
    "typer": {"cli"},
    "safetensors": {"training/checkpoint.py"},
    "tensorboard": {"training/journal.py"},
    "matplotlib": {"charts.py"},
    "torchvision": {"data/files/vision.py"},
    "starlette": {"explore"},
    "uvicorn": {"explore"},
    "onnx": {"lab/export/onnx.py"},
    "onnxruntime": {"lab/export/onnx.py"},
    "huggingface_hub": {"lab/export/card.py"},
    "pyarrow": {"data/files/arrow.py", "data/files/arrow_columns.py"},
    **dict.fromkeys(("wandb", "mlflow", "trackio"), {"lab/trackers.py"}),
}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def modules_of(path: Path) -> set[str]:
    """The modules that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_imports_run_one_way() -> None:
    against = []
    for path in FILES:
        part = part_of(path)
        for name in modules_of(path):
            other = name.split(".")[1] if name.startswith("genlab.") else part
            siblings = RANK[part] == RANK.get(other, 0) and part != other
            if other != "__version__" and (siblings or RANK[other] > RANK[part]) and part != "__init__":
                against.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert against == []


def test_a_library_has_one_home() -> None:
    for path in FILES:
        place = path.relative_to(PACKAGE)
        for library, homes in LIBRARIES.items():
            if any(name.split(".")[0] == library or f".{library}." in name for name in modules_of(path)):
                assert {str(place), place.parts[0]} & homes, f"{place} imports {library}"


def test_no_file_is_a_drawer() -> None:
    assert not {path.stem for path in FILES} & {"utils", "helpers", "common", "misc"}


def test_models_know_no_device_and_never_wait_for_one() -> None:
    for path in (PACKAGE / "models").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert name not in {"item", "cpu", "cuda", "print", "backward", "step", "tolist"}, f"{path}: {name}"
