"""Plans of many addresses: memory does not grow with their number."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from segflow.label.planning import LabelPlan

_MILLION = """
import resource, sys
from pathlib import Path
from segflow.label.planning import LabelPlan

planned = LabelPlan(sys.argv[1], Path(sys.argv[2]), "model", 256, {})(Path(sys.argv[2], "run"))
print(planned.summary.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _list(path: Path, rows: int) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            row = {"image": f"/nowhere/photos/{number // 1000:04d}/{number}.jpg", "group": "g"}
            file.write(json.dumps(row) + "\n")
    return path


def _python_memory(folder: Path, rows: int) -> int:
    """Bytes that Python's own objects take at most while so many rows are planned."""
    folder.mkdir()
    source = _list(folder / "list.jsonl", rows)
    tracemalloc.start()
    try:
        planned = LabelPlan(str(source), folder, "model", 256, {})(folder / "run")
        assert planned is not None
        assert planned.summary.rows == rows
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_rows_are_never_all_in_memory(tmp_path):
    _python_memory(tmp_path / "first", 100)  # what is imported stays
    few = _python_memory(tmp_path / "few", 4_000)
    many = _python_memory(tmp_path / "many", 16_000)

    assert many < few + 500_000  # as objects, 12,000 rows take some 20 MB


@pytest.mark.slow
def test_a_million_addresses_are_planned_in_bounded_memory(tmp_path):
    source = _list(tmp_path / "list.jsonl", 1_000_000)

    done = subprocess.run(
        [sys.executable, "-c", _MILLION, source, tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )

    rows, kibibytes = map(int, done.stdout.split())
    assert rows == 1_000_000
    assert kibibytes < 900 * 1024
