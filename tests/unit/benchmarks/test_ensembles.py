"""What the proof of ensembles says, without the hour that it takes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import ensembles


def _ran(
    monkeypatch: pytest.MonkeyPatch, result: Path, scores: Mapping[str, float], *words: str
) -> tuple[int, list[Sequence[str]]]:
    """The exit code, and what every training was told."""
    told: list[Sequence[str]] = []

    def evaluated(output: Path, *_: str) -> dict[str, Any]:
        mean = scores[output.name.removesuffix("-scores")]
        intervals = {"mean_iou": [mean - 0.0123, mean + 0.0123], "pixel_accuracy": None}
        return {"mean_iou": mean, "pixel_accuracy": 0.9, "intervals": intervals}

    monkeypatch.setattr(ensembles, "camvid_dataset", lambda *_: Path("dataset"))
    monkeypatch.setattr(ensembles, "trained", lambda _, *words: told.append(words))
    monkeypatch.setattr(ensembles, "segflow", lambda *_: None)
    monkeypatch.setattr(ensembles, "evaluated", evaluated)
    monkeypatch.setattr(ensembles, "_RESULT", result)
    return ensembles.main(["CamVid", "WEIGHTS", *words]), told


_MEMBERS = {"pspnet": 0.5, "fpn": 0.6, "deeplab_v3_plus": 0.55}


def test_it_succeeds_where_an_ensemble_is_better_than_every_member(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = tmp_path / "ensembles.md"

    code, told = _ran(monkeypatch, result, {**_MEMBERS, "equal": 0.59, "fitted": 0.625})

    assert code == 0
    assert all("--epochs=8" in words for words in told)
    text = result.read_text()
    assert "8 epochs each" in text
    assert "| ensemble, fitted weights | 0.6250 | 0.613 to 0.637 | 0.9000 | - | +0.0250 |" in text


def test_it_fails_where_none_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scores = {**_MEMBERS, "equal": 0.59, "fitted": 0.6}
    assert _ran(monkeypatch, tmp_path / "ensembles.md", scores)[0] == 1


def test_a_try_leaves_the_result_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = tmp_path / "ensembles.md"
    _ran(monkeypatch, result, {**_MEMBERS, "equal": 0.7, "fitted": 0.7}, "--epochs=1")
    assert not result.exists()
