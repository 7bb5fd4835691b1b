"""Plans of many addresses: memory does not grow with their number."""

import itertools
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from segflow.data.layouts import SourceFile
from segflow.label import planning
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


def _most_in_memory(folder: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that Python's own objects take at most while so many rows are listed."""
    folder.mkdir()
    source = _list(folder / "list.jsonl", rows)
    seen: list[int] = []

    def watched(source: SourceFile) -> dict[str, Any]:
        if next(count) % 50 == 0:
            seen.append(tracemalloc.get_traced_memory()[0])
        return row(source)

    count, row = itertools.count(), planning._row
    tracemalloc.start()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(planning, "_row", watched)
            planned = LabelPlan(str(source), folder, "model", 256, {})(folder / "run")
    finally:
        tracemalloc.stop()
    assert planned is not None
    assert planned.summary.rows == rows
    return max(seen)


def test_rows_are_never_all_in_memory(tmp_path, monkeypatch):
    few = _most_in_memory(tmp_path / "few", 1_500, monkeypatch)
    many = _most_in_memory(tmp_path / "many", 12_000, monkeypatch)

    assert many < few + 3_000_000  # as objects, the others would take some 10 MB


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
