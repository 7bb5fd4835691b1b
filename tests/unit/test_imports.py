"""The import rules of the design: who may know whom, and where the heavy libraries live."""

import ast
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import segflow
from tests.requirements import ROOT

BEAM = {"apache_beam"}
TENSORFLOW = {"tensorflow", "keras", "tensorboard"}
HEAVY = BEAM | TENSORFLOW | {"numpy", "pyarrow", "duckdb", "PIL", "matplotlib", "pandas"}

SOURCES = sorted(
    path.relative_to(ROOT)
    for package in ("segflow", "pipelines")
    for path in (ROOT / package).rglob("*.py")
)


def _may_import_beam(path: Path) -> bool:
    transforms = path.name in ("transforms.py", "handler.py")
    return transforms or path.parts[0] == "pipelines" or path.parts[:2] == ("segflow", "jobs")


def _may_import_tensorflow(path: Path) -> bool:
    inference = path.parts[:2] == ("segflow", "label") and path.name in (
        "predictor.py",
        "resized_argmax.py",
        "threads.py",
        "handler.py",
    )
    return inference or path.parts[:2] in (("segflow", "models"), ("segflow", "train"))


def imported_libraries(source: str) -> Iterator[str]:
    """Top-level names of all modules imported anywhere in `source`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def _offenders(libraries: set[str], allowed: Callable[[Path], bool]) -> list[str]:
    return [
        f"{path} imports {', '.join(sorted(found))}"
        for path in SOURCES
        if (found := libraries & set(imported_libraries((ROOT / path).read_text("utf-8"))))
        and not allowed(path)
    ]


def test_the_scan_sees_imports_of_every_kind():
    source = "import a.b\nfrom c.d import e\ndef f():\n    import g as h\n    from . import i\n"
    assert list(imported_libraries(source)) == ["a", "c", "g"]
    assert any(path.name == "records.py" for path in SOURCES)


def test_beam_is_imported_only_where_transforms_live():
    assert _offenders(BEAM, _may_import_beam) == []


def test_tensorflow_and_keras_are_imported_only_by_models_training_and_inference():
    assert _offenders(TENSORFLOW, _may_import_tensorflow) == []


def test_modules_import_each_other_only_as_the_contracts_say():
    result = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout


def _modules_loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in result.stdout.split()}


def test_import_segflow_loads_nothing_heavy():
    loaded = _modules_loaded_by("import segflow")

    assert "segflow" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("name", sorted(set(segflow.__all__) - {"__version__"}))
def test_every_public_name_is_there(name):
    assert getattr(segflow, name).__module__.startswith("segflow.")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Pipeline'"):
        segflow.Pipeline  # noqa: B018


@pytest.mark.parametrize("module", ["pipelines.main", "segflow.label_map", "segflow.dataset"])
def test_light_modules_load_neither_beam_nor_tensorflow(module):
    assert not _modules_loaded_by(f"import {module}") & (BEAM | TENSORFLOW)


def test_help_answers_in_under_half_a_second():
    """The best of five runs: the others tell how busy the machine is."""
    command = [str(Path(sys.executable).with_name("segflow")), "--help"]

    seconds = min(_seconds(command) for _ in range(5))

    assert seconds < 0.5


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "usage: segflow" in result.stdout
    return time.perf_counter() - start
