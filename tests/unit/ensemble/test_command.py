"""`segflow.ensemble` from Python: when it is finished, and two at once."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from segflow import storage
from segflow.ensemble import command
from segflow.ensemble.config import EnsembleConfig
from segflow.errors import UsageError
from segflow.lock import lock
from tests.bundles import write_bundle
from tests.unit.train.datasets import LABELS


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("models")
    sizes = {"small": (16, 24), "large": (24, 36)}
    return tuple(str(write_bundle(folder / name, LABELS, size)) for name, size in sizes.items())


def test_a_command_that_ended_meanwhile_is_left_alone(
    models: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one commits the same ensemble after this one looked, before it has the lock."""
    config = EnsembleConfig(model=models, output=str(tmp_path / "out"))
    model, seen = tmp_path / "out/model.keras", []

    @contextlib.contextmanager
    def late(output: Path, inside: str) -> Iterator[None]:
        monkeypatch.setattr(command, "lock", lock)
        command.ensemble(config)
        seen.append((model.stat().st_ino, (tmp_path / "out/bundle.json").read_bytes()))
        with lock(output, inside):
            yield

    monkeypatch.setattr(command, "lock", late)
    command.ensemble(config)

    assert [(model.stat().st_ino, (tmp_path / "out/bundle.json").read_bytes())] == seen
    assert not (tmp_path / "out" / command.STATE_FOLDER).exists()


def test_what_a_kill_behind_the_commit_left_is_removed(
    models: tuple[str, ...], tmp_path: Path
) -> None:
    config = EnsembleConfig(model=models, output=str(tmp_path / "out"))
    command.ensemble(config)
    state = tmp_path / "out" / command.STATE_FOLDER
    storage.put(state / "begun", b"")

    command.ensemble(config)

    assert not state.exists()


def test_another_commands_state_is_not_removed(models: tuple[str, ...], tmp_path: Path) -> None:
    config = EnsembleConfig(model=models, output=str(tmp_path / "out"))
    command.ensemble(config)
    state = tmp_path / "out" / command.STATE_FOLDER
    with lock(tmp_path / "out", command.STATE_FOLDER):
        with pytest.raises(UsageError, match="another run"):
            command.ensemble(config)
        assert (state / "lock.json").is_file()


def test_an_ensemble_is_the_same_whatever_it_was_scored_in_batches_of() -> None:
    one, two = (
        EnsembleConfig(model=("a", "b"), output="o", dataset="d", batch_size=size)
        for size in (1, 8)
    )
    assert one.recorded() == two.recorded()


def test_another_ensemble_in_the_folder_is_told_by_its_flag(
    models: tuple[str, ...], tmp_path: Path
) -> None:
    output = str(tmp_path / "out")
    command.ensemble(EnsembleConfig(model=models, output=output))
    for asked, told in (
        (EnsembleConfig(model=models, output=output, member_weights="3,1"), "--member-weights is "),
        (EnsembleConfig(model=models, output=output, image_size="16x24"), "--image-size is None "),
        (EnsembleConfig(model=models[::-1], output=output), "members is "),
    ):
        with pytest.raises(UsageError, match=f"holds another model: {told}"):
            command.ensemble(asked)
