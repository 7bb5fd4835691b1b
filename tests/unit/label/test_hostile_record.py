"""A labels folder whose record points outside: refused before any table is opened."""

from collections.abc import Callable

import pyarrow.parquet as pq
import pytest

from segflow import report, storage, verify
from segflow.errors import UsageError
from segflow.explain.command import explain
from segflow.explain.config import ExplainConfig
from segflow.label.selection import Selection
from tests.unit.label.batches import Labels, draw


def _outside(record: dict) -> None:
    record["files"][0]["path"] = "../outside.parquet"


def _absolute(record: dict) -> None:
    record["files"][0]["path"] = "/etc/passwd"


def _other_run(record: dict) -> None:
    record["run"] = "../../outside"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_outside, "lists '../outside.parquet', which lies outside the folder"),
        (_absolute, "lists '/etc/passwd', which lies outside the folder"),
        (_other_run, "calls itself the run '../../outside', expected "),
    ],
)
def test_every_command_refuses_it(
    labels: Labels, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict], None], words: str
) -> None:
    draw(labels.images / "a.png")
    assert labels.label() is not None
    (path,) = labels.output.glob("runs/*.json")
    record = storage.read_json(path)
    change(record)
    storage.put(path, storage.to_json(record))
    draw(labels.images / "b.png")

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("a table was opened")

    monkeypatch.setattr(pq, "ParquetFile", opened)
    monkeypatch.setattr(pq, "read_table", opened)
    for refused in (
        labels.label,
        lambda: report.draw(labels.output),
        lambda: Selection.find(str(labels.output)),
        lambda: Selection.find(str(path)),
        lambda: explain(ExplainConfig(folder=str(labels.output), image="a")),
    ):
        with pytest.raises(UsageError, match=words):
            refused()
    assert any(words in problem for problem in verify.verify(labels.output)[1])
