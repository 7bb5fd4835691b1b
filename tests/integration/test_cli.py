"""The command line as a user meets it: help, speed, config files, Beam's flags, exit codes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines import main
from tests.drawn import Pairs, rows_of
from tests.integration import killing
from tests.programs import IN_MEMORY, complaints, run_here, run_program

SHARED = {"config": "none", "log-level": "warning"}
REQUIRED = None

# What issue 1 needs of the contract's flags, and the defaults that the contract names.
FLAGS = {
    "ingest": {
        **dict.fromkeys(("images", "output", "image-size"), REQUIRED),
        **{"masks": "none", "layout": "auto", "label-map": "none", "splits": "none"},
        **{"resize": "stretch", "augment-copies": "0", "image-format": "jpeg", "seed": "0"},
        **{"jpeg-quality": "95", "shard-size": "256", "max-reject-fraction": "0.05"},
        **SHARED,
    },
    "train": {
        **dict.fromkeys(("dataset", "output"), REQUIRED),
        **{"architecture": "auto", "loss": "ce+dice", "class-weights": "none"},
        **{"optimizer": "adam", "learning-rate": "0.002", "epochs": "40", "max-minutes": "none"},
        **{"batch-size": "8", "devices": "auto", "resume": "False", "seed": "0"},
        **SHARED,
    },
    "find-rate": {
        **dict.fromkeys(("dataset", "output"), REQUIRED),
        **{"lowest-rate": "1e-06", "highest-rate": "1.0", "rate-steps": "100"},
        **{"loss": "ce+dice", "loss-options.focal-gamma": "2.0", "batch-size": "8"},
        **SHARED,
    },
    "evaluate": {
        **dict.fromkeys(("model", "output"), REQUIRED),
        **{"dataset": "none", "split": "val", "images": "none", "masks": "none"},
        **{"windows": "auto", "window-overlap": "0.25"},
        **{"max-reject-fraction": "0.05"},
        **SHARED,
    },
    "label": {
        **dict.fromkeys(("model", "images", "output"), REQUIRED),
        **{"mask-format": "png", "tta": "none", "shard-size": "256", "max-reject-fraction": "0.05"},
        **{"root": "none", "ground-resolution": "none", "detect-changes": "time"},
        **{"windows": "auto", "window-overlap": "0.25"},
        **{"uncertain-below": "0.75", "count-regions": "False", "review": "50"},
        **SHARED,
    },
    "ensemble": {
        **dict.fromkeys(("model", "output"), REQUIRED),
        **{"member-weights": "equal", "image-size": "none", "dataset": "none", "split": "val"},
        **SHARED,
    },
    "bundle": {
        **dict.fromkeys(("model-file", "label-map", "image-size", "output"), REQUIRED),
        **{"resize": "stretch", "pixel-range": "0,255", "gives": "auto", "value-range": "0,65535"},
        **SHARED,
    },
    "report": {"output": "none", **SHARED},
    "compare": {"output": "none", "max-change": "1.0", "max-missing": "0.0", **SHARED},
    "export": {
        **dict.fromkeys(("format", "output"), REQUIRED),
        **{"run": "none", "images-from": "none", "review-only": "False"},
        **{"copy-images": "False", "link-images": "False", "color-masks": "False"},
        **SHARED,
    },
    "explain": {
        **{"image": "none", "run": "none", "key": "none", "variant": "0", "again": "False"},
        **{"model": "none", "json": "False"},
        **SHARED,
    },
    "verify": SHARED,
    "example": {**dict.fromkeys(("key", "output"), REQUIRED), "variant": "0", **SHARED},
    "demo": {"output": "./demo", **SHARED},
}


def _help(capsys, command: str, columns: int, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as stop:
        main.main([command, "--help"])
    captured = capsys.readouterr()
    assert (stop.value.code or 0, captured.err) == (0, "")
    return captured.out


def _described(text: str) -> dict[str, str]:
    """Each flag of a help page with its description."""
    lines = [line.strip("│╭╮╰╯─ ") for line in text.splitlines()]
    pieces = re.split(r"^(--[\w.-]+)", "\n".join(lines), flags=re.MULTILINE)
    described = [" ".join(piece.split()) for piece in pieces[2::2]]
    return {name[2:]: text for name, text in zip(pieces[1::2], described, strict=True)}


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", main.COMMANDS)
def test_help_shows_each_flag_with_its_default(command, columns, capsys, monkeypatch):
    page = _help(capsys, command, columns, monkeypatch)
    described = _described(page)
    for name, default in FLAGS[command].items():
        ending = "(required)" if default is REQUIRED else f"(default: {default})"
        assert ending in described[name]
        assert len(described[name].removesuffix(ending)) > 15
    _usage, *lines = page.splitlines()  # tyro leaves that to the terminal
    assert [line for line in lines if len(line) > columns] == []


@pytest.mark.parametrize("command", ["ingest", "evaluate", "label"])
def test_help_says_where_other_flags_go(command, capsys, monkeypatch):
    assert "Other flags go to Beam (--runner=…)" in _help(capsys, command, 80, monkeypatch)


@pytest.mark.parametrize("command", ["report", "verify"])
def test_help_shows_what_is_no_flag(command, capsys, monkeypatch):
    assert f"usage: segflow {command} [-h] FOLDER" in _help(capsys, command, 80, monkeypatch)


def test_the_overview_names_every_command(capsys):
    assert main.main(["--help"]) == 0
    overview = capsys.readouterr().out
    for command in main.COMMANDS:
        assert re.search(rf"^  {command} +\S", overview, re.MULTILINE)
    assert [line for line in overview.splitlines() if len(line) > 80] == []
    assert main.main([]) == 2
    assert main.main(["--version"]) == 0


def test_a_command_that_is_none_is_told_with_the_nearest(capfd):
    assert (
        run_here(capfd, "lable").line == "segflow: unknown command 'lable'; did you mean 'label'?"
    )
    assert run_here(capfd, "xyz").line.startswith("segflow: unknown command 'xyz'; known: ingest")
    assert main.main(["xyz"]) == 2


def test_the_overview_answers_in_half_a_second():
    times = []
    for _ in range(5):
        began = time.perf_counter()
        assert run_program("--help").code == 0
        times.append(time.perf_counter() - began)
    assert min(times) < 0.5


@pytest.mark.parametrize("module", ["segflow", "pipelines.main"])
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"apache_beam", "tensorflow", "keras", "numpy", "pyarrow", "PIL", "duckdb", "tyro"}
    assert not heavy & set(done.stdout.split())


@pytest.fixture
def pairs(tmp_path):
    return Pairs(tmp_path / "data", count=4)


def _hashes(folder):
    return {row["key"]: row["image_sha256"] for row in rows_of(folder, "index")}, {
        path.name: path.read_bytes() for path in folder.glob("*.tfrecord")
    }


def test_a_module_is_the_same_program_as_its_command(pairs, tmp_path):
    flags = {name: pairs.flags(tmp_path / name) for name in ("command", "modules")}
    command = run_program("ingest", *flags["command"], IN_MEMORY)
    module = run_program(*flags["modules"], IN_MEMORY, module="pipelines.ingest")
    assert (command.code, command.errors) == (module.code, module.errors) == (0, [])
    assert command.out.replace("/command", "/modules") == module.out
    assert _hashes(tmp_path / "command") == _hashes(tmp_path / "modules")


def test_a_config_file_replaces_the_command_line(pairs, tmp_path, capfd):
    config = tmp_path / "ingest.yaml"
    config.write_text(
        f"""
images: "{pairs.images}"
masks: {pairs.masks}
label-map: {pairs.label_map}
image_size: 8x8
splits: train=0.5,val=0.5
augment_copies: 1
augmentation:
  rotation: 0
  zoom: [1, 1.5]
max_reject_fraction: 0
direct_num_workers: 1
"""
    )
    output = tmp_path / "out"
    ran = run_here(capfd, "ingest", f"--config={config}", "--image-size=4x6", f"--output={output}")
    assert (ran.code, ran.errors) == (0, [])
    index = rows_of(output, "index")
    assert {(row["height"], row["width"]) for row in index} == {(4, 6)}
    assert {row["split"] for row in index} == {"train", "val"}
    assert {row["variant"] for row in index if row["split"] == "train"} == {0, 1}

    config.write_text("image_sise: 8x8\n")
    ran = run_here(capfd, "ingest", f"--config={config}", *pairs.flags(tmp_path / "other"))
    assert ran.code == 2
    assert ran.line == (
        f"segflow ingest: --config {config}: unknown key image_sise; did you mean image-size?"
    )


def test_words_behind_two_dashes_reach_beam(pairs, tmp_path, capfd):
    flags = pairs.flags(tmp_path / "out")
    ran = run_here(capfd, "ingest", *flags, IN_MEMORY, "--", "--no_such_flag=1")
    assert (ran.code, ran.errors) == (0, [])
    ran = run_here(capfd, "ingest", *flags, IN_MEMORY, "--", "--direct_num_workers=many")
    assert ran.code == 2
    assert "argument --direct_num_workers: invalid int value: 'many'" in ran.line


@pytest.mark.parametrize("runner", ["DirectRunner", "FnApiRunner"])
def test_the_runner_is_beams_to_choose(pairs, tmp_path, capfd, runner):
    flags = pairs.flags(tmp_path / "out")
    ran = run_here(capfd, "ingest", *flags, f"--runner={runner}")
    assert (ran.code, ran.errors) == (0, [])
    assert len(rows_of(tmp_path / "out", "index")) == 4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image-sise=3x4"], "unknown flag --image-sise; did you mean --image-size?"),
        (["--flink_mastr=x"], "unknown flag --flink_mastr; did you mean --flink_master?"),
        (["--runner=FlinkRuner"], "Unexpected pipeline runner: FlinkRuner"),
        (["--shard-size=0"], "--shard-size must be 1 or more, found 0"),
        (["--resize=fit"], "invalid choice 'fit' for argument '--resize'"),
        (["extra.png"], "unexpected 'extra.png'; put quotes around a glob"),
    ],
)
def test_a_wrong_flag_costs_one_line_and_writes_nothing(pairs, tmp_path, capfd, flags, message):
    ran = run_here(capfd, "ingest", *pairs.flags(tmp_path / "out"), *flags)
    assert ran.code == 2
    assert message in ran.line
    assert not (tmp_path / "out").exists()


def test_an_interrupted_command_says_that_it_can_go_on(tmp_path, capfd):
    pairs = Pairs(tmp_path / "data", count=300)
    output, log = tmp_path / "out", tmp_path / "log"
    flags = pairs.flags(output, shard_size=1)
    with killing.started("ingest", *flags, log=log) as process:
        killing.wait_until(lambda: killing.progress(output) > 3, process)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to the workers, too
        assert process.wait(60) == 130
    assert complaints(log.read_text()) == [
        "segflow ingest: interrupted; finished work is kept, run the same command to go on"
    ]
    assert not (output / "dataset.json").exists()
    assert run_here(capfd, "ingest", *flags).code == 0


def test_output_that_nobody_reads_any_more_is_no_error():
    program = Path(sys.executable).with_name("segflow")
    command = f"set -o pipefail; {program} ingest --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode in (0, 1), done.stderr) == (True, "")


def test_the_traceback_is_for_those_who_ask(pairs, tmp_path):
    flags = pairs.flags(tmp_path / "out", images=tmp_path / "nowhere")
    ran = run_program("ingest", *flags)
    assert (ran.code, len(ran.errors)) == (2, 1)
    debug = run_program("ingest", *flags, "--log-level=debug")
    assert debug.code == 2
    assert debug.errors[-1] == ran.line
    assert "Traceback (most recent call last):" in debug.errors
    assert any(line.startswith("segflow.errors.UsageError: --images") for line in debug.errors)
