"""What the benchmark of the trainer concludes, without the minutes that it takes."""

from pathlib import Path

import pytest

from benchmarks import training


def _ran(monkeypatch: pytest.MonkeyPatch, result: Path, ours: float, *words: str) -> int:
    """The exit code where the bare loop makes 100 images a second while segflow makes `ours`.

    In one round something else takes half the machine, and one epoch is slow besides.
    """
    rates = {
        "segflow": [[ours] * 3, [ours / 2] * 3, [ours] * 3],
        "a bare loop": [[100.0] * 3, [50.0] * 3, [100.0, 100.0, 10.0]],
        "model.fit": [[90.0] * 3] * 3,
    }
    dataset = type("D", (), {"folder": result.parent})
    monkeypatch.setattr(training, "drawn_dataset", lambda *_, **__: dataset)
    monkeypatch.setattr(training, "_measured", lambda *_: (rates, [0.01] * 3))
    monkeypatch.setattr(training, "_RESULT", result)
    return training.main(words)


@pytest.mark.parametrize(("ours", "code", "said"), [(97.5, 0, "+2.6%"), (97.0, 1, "+3.1%")])
def test_it_fails_from_3_percent_over_the_bare_loop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ours: float, code: int, said: str
) -> None:
    result = tmp_path / "training.md"
    assert _ran(monkeypatch, result, ours) == code
    assert said in result.read_text(encoding="utf-8")


def test_a_quick_round_decides_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert _ran(monkeypatch, tmp_path / "training.md", 50.0, "--quick") == 0
    assert not list(tmp_path.iterdir())
