"""More rejects than allowed: code 3, nothing committed, and a larger budget needs no new work."""

from pathlib import Path

import pytest

from segflow import storage
from tests.bundles import write_bundle
from tests.drawn import LABELS, Pairs, rows_of
from tests.programs import run_here

BROKEN = ("broken-0", "broken-1", "broken-2")


@pytest.fixture
def pairs(tmp_path):
    """Nine sound pairs and three whose image is empty: a quarter."""
    pairs = Pairs(tmp_path / "data", count=9)
    for name in BROKEN:
        pairs.add(name)
        (pairs.images / f"{name}.png").write_bytes(b"")
    return pairs


def _flags(command: str, pairs: Pairs, output: Path, folder: Path) -> list[str]:
    if command == "ingest":
        return pairs.flags(output, shard_size=2, max_reject_fraction=None)
    model = write_bundle(folder / "model", LABELS)
    words = [f"--model={model}", f"--images={pairs.images}", f"--output={output}", "--shard-size=2"]
    return words if command == "label" else [*words, f"--masks={pairs.masks}"]


RECORDS = {"ingest": "dataset.json", "label": "runs", "evaluate": "metrics.json"}


@pytest.mark.parametrize("command", RECORDS)
def test_a_larger_budget_commits_without_redoing_shards(command, pairs, tmp_path, capfd):
    output = tmp_path / "out"
    flags = _flags(command, pairs, output, tmp_path)

    ran = run_here(capfd, command, *flags)
    assert ran.code == 3
    assert ran.line.startswith(
        f"segflow {command}: 3 of 12 inputs rejected (3 unreadable), more than "
        "--max-reject-fraction 0.05 allows; nothing was committed. See "
    )
    shown = Path(ran.line.partition("See ")[2].partition(", then mend")[0])
    assert {row["key"] for row in rows_of(shown.parent, shown.name)} == set(BROKEN)
    visible = [name for name in storage.names_in(output) if not name.startswith("_")]
    assert visible == ["rejects"]
    records = _shard_records(output)
    assert len(records) >= 6

    ran = run_here(capfd, command, *flags, "--max-reject-fraction=0.25")
    assert (ran.code, ran.errors) == (0, [])
    assert (output / RECORDS[command]).exists()
    assert {row["key"] for row in rows_of(output, "rejects")} == set(BROKEN)
    assert _shard_records(output) == records
    assert run_here(capfd, "verify", output).code == 0


@pytest.mark.parametrize("command", RECORDS)
def test_mended_inputs_are_read_anew(command, pairs, tmp_path, capfd):
    output = tmp_path / "out"
    flags = _flags(command, pairs, output, tmp_path)
    assert run_here(capfd, command, *flags).code == 3
    for name in BROKEN:
        pairs.add(name)

    ran = run_here(capfd, command, *flags)
    assert (ran.code, ran.errors) == (0, [])
    assert "12 listed = 12 accepted + 0 rejected" in ran.out
    assert run_here(capfd, "verify", output).code == 0
    assert rows_of(output, "rejects") == []


def test_with_a_budget_of_everything_even_nothing_is_committed(tmp_path, capfd):
    pairs = Pairs(tmp_path / "data", count=2)
    for path in pairs.images.iterdir():
        path.write_bytes(b"")
    ran = run_here(capfd, "ingest", *pairs.flags(tmp_path / "out", max_reject_fraction=1))
    assert (ran.code, ran.errors) == (0, [])
    assert "2 listed = 0 accepted + 2 rejected (2 unreadable)" in ran.out


@pytest.mark.parametrize("value", ["-0.1", "1.5", "nan"])
def test_a_fraction_is_a_fraction(value, pairs, tmp_path, capfd):
    flags = pairs.flags(tmp_path / "out", max_reject_fraction=value)
    ran = run_here(capfd, "ingest", *flags)
    assert (ran.code, ran.line) == (
        2,
        f"segflow ingest: --max-reject-fraction must be 0 to 1, found {float(value)}",
    )


def _shard_records(output: Path) -> dict[str, int]:
    """The time at which each shard's record was written, once: it tells a second one."""
    paths = output.glob("_runs/*/records/*.json")
    return {str(path.relative_to(output)): path.stat().st_mtime_ns for path in paths}
