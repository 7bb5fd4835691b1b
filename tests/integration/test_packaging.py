"""What `--setup_file=./setup.py` ships to a cluster's workers."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.stager import Stager

import segflow
from tests.requirements import ROOT


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """The package as Beam builds it, from a copy of the sources."""
    folder = tmp_path_factory.mktemp("package")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("segflow", "pipelines"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    staged = folder / "staged"
    staged.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = PipelineOptions(["--setup_file=./setup.py"])
        Stager.create_job_resources(options, str(staged))
    return next(staged.glob("*.tar.gz"))


def _sources() -> set[str]:
    files = [*(ROOT / "segflow").rglob("*"), *(ROOT / "pipelines").rglob("*")]
    return {
        str(path.relative_to(ROOT))
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_archive_holds_every_source_and_template_and_no_test(archive):
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}

    assert any(name.endswith(".html") for name in _sources())
    assert _sources() <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "deploy"))]


def test_the_archive_installs_and_has_the_version_of_the_code(archive, tmp_path):
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run(
        [*install, "--no-build-isolation", f"--target={tmp_path}", str(archive)], check=True
    )
    code = (
        "import segflow, importlib.metadata as m; "
        "print(segflow.__file__, segflow.__version__, m.version('segflow'))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    file, *versions = output.split()
    assert file == str(tmp_path / "segflow" / "__init__.py")
    assert versions == [segflow.__version__, segflow.__version__]
    assert _sources() <= {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")}
