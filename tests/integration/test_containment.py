"""Files that crash, hang or starve the decoder: each costs itself, with every way of running."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.bundles import write_bundle
from tests.drawn import LABELS, Pairs, encode, rows_of, scene
from tests.integration.killing import started, wait_until
from tests.integration.outputs import contents
from tests.programs import run_program
from tests.requirements import ROOT

_MODES = ("in_memory", "multi_threading", "multi_processing")
_IMAGES = {"crash": b"CRASH", "abort": b"ABORT", "devour": b"DEVOUR", "hang": b"HANG"}
_CODES = {
    **dict.fromkeys(("crash", "abort", "devour", "crash-mask"), "decoder_crash"),
    "hang": "decoder_timeout",
}


@pytest.fixture(autouse=True)
def mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Decoders of this test's processes fall ill of certain files; all of them carry its name."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "faults"))
    monkeypatch.setenv("SEGFLOW_TEST", str(tmp_path))
    return str(tmp_path)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    drawn = Pairs(tmp_path_factory.mktemp("ill"), count=12)
    image, mask = map(encode, scene(0))
    for name, data in _IMAGES.items():
        (drawn.images / f"{name}.png").write_bytes(data)
        (drawn.masks / f"{name}.png").write_bytes(mask)
    (drawn.images / "crash-mask.png").write_bytes(image)
    (drawn.masks / "crash-mask.png").write_bytes(b"CRASH")
    return drawn


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, str]]:
    """What each way of running has written."""
    return {}


def _processes(mark: str) -> Iterator[psutil.Process]:
    """Living processes that a test's command has started, by the name they carry."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("SEGFLOW_TEST") == mark and process.status() != "zombie":
                yield process


@pytest.mark.parametrize("mode", _MODES)
def test_ingest_rejects_each_and_stores_the_others(pairs, tmp_path, mark, seen, mode):
    flags = [*pairs.flags(tmp_path / "out", shard_size=6), "--limits.decode-seconds=1"]
    ran = run_program("ingest", *flags, "--direct_num_workers=2", f"--direct_running_mode={mode}")

    assert (ran.code, ran.errors) == (0, [])
    rejects = rows_of(tmp_path / "out", "rejects")
    assert {row["key"]: row["code"] for row in rejects} == _CODES
    messages = {row["key"]: row["message"] for row in rejects}
    assert messages["crash-mask"] == "mask: the decoder died of SIGSEGV"
    assert messages["hang"].startswith("image: decoding took longer than 1 s (--limits.decode-sec")
    record = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert record["inputs"]["accepted"] == 12
    assert list(_processes(mark)) == []
    seen[mode] = contents(tmp_path / "out")
    assert seen[mode] == next(iter(seen.values()))


def test_label_rejects_each_and_labels_the_others(pairs, tmp_path, mark):
    model = write_bundle(tmp_path / "model", LABELS)
    flags = [f"--model={model}", f"--images={pairs.images}", f"--output={tmp_path / 'out'}"]
    more = ["--limits.decode-seconds=1", "--batch-size=2", "--worker-threads=3"]

    ran = run_program("label", *flags, *more, "--max-reject-fraction=1")

    assert (ran.code, ran.errors) == (0, [])
    rejects = {row["key"]: row["code"] for row in rows_of(tmp_path / "out", "rejects")}
    assert rejects == {key: code for key, code in _CODES.items() if key != "crash-mask"}
    assert len(rows_of(tmp_path / "out", "images")) == 13
    assert list(_processes(mark)) == []


@pytest.mark.parametrize("mode", ["in_memory", "multi_processing"])
def test_nothing_lives_on_when_the_command_is_killed_while_a_decoder_hangs(
    pairs, tmp_path, mark, mode
):
    words = ["ingest", *pairs.flags(tmp_path / "out", shard_size=6), "--limits.decode-seconds=900"]
    runner = ["--direct_num_workers=2", f"--direct_running_mode={mode}"]
    with started(*words, *runner, log=tmp_path / "log") as process:
        wait_until(lambda: _is_hanging(mark), process)
        process.kill()  # the command alone, not those it has started
        process.wait()
        deadline = time.monotonic() + 30
        while living := list(_processes(mark)):
            assert time.monotonic() < deadline, living
            time.sleep(0.1)


def _is_hanging(mark: str) -> bool:
    """Whether a decoder has been at work for longer than any of these files takes."""
    for process in _processes(mark):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "segflow.data.decoder" in process.cmdline() and process.cpu_times().user > 3:
                return True
    return False
