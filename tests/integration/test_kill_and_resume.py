"""Whenever a command is killed, readers see nothing torn, and the same command again ends well."""

import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from pipelines import cli
from segflow.data.config import IngestConfig
from segflow.data.ingest import IngestJob
from segflow.drawing import LABEL_MAP, draw_collection, draw_dataset
from segflow.hashing import unit_interval
from segflow.jobs.commit import COMMITTED, commit
from segflow.jobs.shard import finish_shard
from tests.bundles import write_bundle
from tests.integration import killing
from tests.integration.commands import run, segflow
from tests.integration.outputs import contents, only_run

_LARGEST_DELAY_S = 0.03
_ORPHANS_DIE_WITHIN_S = 10.0

# Moments are drawn one from each of n equal parts of a run's course.
_MOMENTS = [
    pytest.param(n, i, id=f"{i + 1} of {n}", marks=[pytest.mark.slow] if n > 3 else [])
    for n in (3, 10)
    for i in range(n)
]


@dataclass(frozen=True)
class Case:
    """A command line but for its --output, and its commit record as a glob."""

    words: tuple[str, ...]
    record: str

    @property
    def name(self) -> str:
        return self.words[0]

    def into(self, output: Path) -> list[str]:
        return [*self.words, f"--output={output}"]


@dataclass(frozen=True)
class Undisturbed:
    """What a run makes that nobody kills, and in how many steps."""

    contents: Mapping[str, str]
    steps: int


@pytest.fixture(scope="module", params=["ingest", "label"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp(request.param)
    return {"ingest": _ingest_case, "label": _label_case}[request.param](folder)


@pytest.fixture(scope="module")
def undisturbed(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    output = tmp_path_factory.mktemp("undisturbed") / "output"
    segflow(*case.into(output))
    return Undisturbed(contents(output), killing.progress(output))


@pytest.mark.parametrize(("moments", "number"), _MOMENTS)
def test_killed_with_all_its_workers(
    case: Case, undisturbed: Undisturbed, tmp_path: Path, moments: int, number: int
) -> None:
    output = tmp_path / "output"
    drawn = unit_interval("moment", case.name, moments, number)
    steps = (number + drawn) / moments * undisturbed.steps
    with killing.started(*case.into(output), log=tmp_path / "log") as process:
        killing.wait_until(lambda: killing.progress(output) >= steps, process)
        time.sleep(unit_interval("delay", case.name, moments, number) * _LARGEST_DELAY_S)
    _require_nothing_torn(case, output, undisturbed)
    _require_that_it_goes_on(case, output, undisturbed, tmp_path / "away")


def test_only_the_launcher_is_killed(case: Case, undisturbed: Undisturbed, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with killing.started(*case.into(output), log=tmp_path / "log") as process:
        killing.wait_until(lambda: list(output.glob("_runs/*/records/0*.json")), process)
        workers = killing.children(process)
        process.kill()
        process.wait()
        with killing.started(*case.into(output), log=tmp_path / "second log") as second:
            assert not psutil.wait_procs(workers, timeout=_ORPHANS_DIE_WITHIN_S)[1]
            assert second.wait() == 0, (tmp_path / "second log").read_text()
    assert workers
    assert contents(output) == undisturbed.contents
    assert "all counts and checksums as recorded" in segflow("verify", output)


def test_workers_that_are_still_starting_die_with_the_launcher(case: Case, tmp_path: Path) -> None:
    with killing.started(*case.into(tmp_path / "output"), log=tmp_path / "log") as process:
        killing.wait_until(lambda: killing.workers(process), process)
        workers = killing.workers(process)
        process.kill()
        process.wait()
        assert not psutil.wait_procs(workers, timeout=_ORPHANS_DIE_WITHIN_S)[1]
    assert workers


def test_a_second_command_is_refused_while_the_first_lives(case: Case, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with killing.started(*case.into(output), log=tmp_path / "log") as process:
        killing.wait_until((output / "_runs" / "lock.json").exists, process)
        process.send_signal(signal.SIGSTOP)  # or it may be over before the second looks
        second = run(*case.into(output))
        assert process.poll() is None
    assert second.returncode == 2
    (line,) = second.stderr.splitlines()
    assert f"process {process.pid}) is at work there; wait for it to end" in line


@pytest.mark.parametrize("case", ["ingest"], indirect=True)
def test_two_launchers_on_one_run_do_no_harm(
    case: Case, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """As when orphans of a dead launcher, or of a split network, work on beside a new one."""
    output = tmp_path / "output"
    with killing.started(*case.into(output), log=tmp_path / "log") as process:
        killing.wait_until(lambda: list(output.glob("_runs/*/run.json")), process)
    planned = only_run(output)
    words = case.into(output)[1:]
    config = cli.parse("ingest", IngestConfig, words, takes_beam_flags=True).config
    job = IngestJob(config, LABEL_MAP)

    def launch(_: int) -> str:
        for index in range(planned.shard_count):
            finish_shard(job, planned, job.open(), index)
        return commit(job, planned).status

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(launch, range(2))) == [COMMITTED, COMMITTED]
    assert contents(output) == undisturbed.contents


def _require_nothing_torn(case: Case, output: Path, undisturbed: Undisturbed) -> None:
    """Every file that is visible is whole; with the commit record, all of them are there."""
    there = contents(output)
    derived = {"current.sql"}  # says what is committed, so it comes after the commit
    assert there.items() <= undisturbed.contents.items()
    if list(output.glob(case.record)):
        assert there.keys() | derived >= undisturbed.contents.keys()
        assert "all counts and checksums as recorded" in segflow("verify", output)


def _require_that_it_goes_on(
    case: Case, output: Path, undisturbed: Undisturbed, away: Path
) -> None:
    """The same command again succeeds without the sources of what was finished."""
    runs = list(output.glob("_runs/*/run.json"))
    if runs and not list(output.glob(case.record)):
        planned = only_run(output)
        with killing.sources_away(planned, killing.finished_shards(planned), away):
            segflow(*case.into(output))
    else:
        segflow(*case.into(output))
    assert contents(output) == undisturbed.contents
    assert (output / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert not list(output.rglob(".*")), "left behind"
    assert "all counts and checksums as recorded" in segflow("verify", output)


def _ingest_case(folder: Path) -> Case:
    pairs = draw_dataset(folder, examples=48, size=(64, 80))
    words = (
        *("ingest", "--layout=paired", f"--images={pairs.images}", f"--masks={pairs.masks}"),
        *(f"--label-map={pairs.label_map}", "--image-size=192x256", "--max-reject-fraction=0.2"),
        *("--augment-copies=2", "--shard-size=8", "--direct_num_workers=2"),
    )
    return Case(words, "dataset.json")


def _label_case(folder: Path) -> Case:
    model = write_bundle(folder / "model", LABEL_MAP, image_size=(64, 80))
    draw_collection(folder / "images", pictures=32)
    words = (
        *("label", f"--model={model}", f"--images={folder / 'images'}"),
        *("--shard-size=4", "--batch-size=4", "--direct_num_workers=2"),
    )
    return Case(words, "runs/*.json")
