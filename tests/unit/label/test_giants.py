"""Giants in the plan of a label run."""

from pathlib import Path

import pyarrow as pa
import pytest

from segflow.data.config import DecodeLimits
from segflow.label import giants as module
from segflow.label.giants import weighed
from tests import giants

LIMITS = DecodeLimits(max_pixels=10_000)
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@pytest.fixture(scope="module")
def giant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 x 330 pixels."""
    return giants.draw(tmp_path_factory.mktemp("giant"), 200, 330)[0]


def _row(path: Path, code: str | None = None) -> dict[str, object]:
    size = path.stat().st_size
    return {"key": path.stem, "image_uri": str(path), "image_bytes": size} | {
        "weight": size,
        "code": code,
    }


def _weights(*rows: dict[str, object], limits: DecodeLimits = LIMITS) -> list[int]:
    batch = pa.RecordBatch.from_pylist(list(rows))
    (found,) = weighed([batch], limits)
    assert found.schema == batch.schema
    assert found.drop_columns("weight") == batch.drop_columns("weight")
    return found.column("weight").to_pylist()


def test_a_giant_weighs_what_its_pixels_take(giant):
    assert _weights(_row(giant)) == [3 * 200 * 330]


def test_whatever_is_read_whole_or_not_at_all_weighs_its_bytes(giant, tmp_path):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(giant.read_bytes()[:50])
    rows = [_row(broken), _row(giant, "outside_root")]

    assert _weights(*rows) == [row["weight"] for row in rows]
    assert _weights(_row(giant), limits=DecodeLimits()) == [giant.stat().st_size]


def test_files_that_can_be_no_giants_are_not_opened(giant, tmp_path, monkeypatch):
    small, other = tmp_path / "small.tif", tmp_path / "photo.jpg"
    small.write_bytes(bytes(9))
    other.write_bytes(giant.read_bytes())
    monkeypatch.setattr(module, "windowed_header", lambda *_: pytest.fail("a file was opened"))

    assert _weights(_row(small), _row(other)) == [9, giant.stat().st_size]
