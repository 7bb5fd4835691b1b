"""Mistakes in the use of every command but ingest: code 2, one line, and nothing written."""

import pytest

from segflow import storage
from tests.bundles import write_bundle
from tests.drawn import LABELS, Pairs
from tests.programs import IN_MEMORY, run_here, run_program


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pairs in `data`, a dataset without a validation split, a model, and an empty folder."""
    folder = tmp_path_factory.mktemp("usage")
    pairs = Pairs(folder / "data", count=3)
    flags = pairs.flags(folder / "dataset", splits="train=1")
    assert run_program("ingest", *flags, IN_MEMORY).code == 0
    write_bundle(folder / "model", LABELS)
    (folder / "empty").mkdir()
    (folder / "file.txt").touch()
    return folder


MODEL = "--model={folder}/model"
IMAGES, MASKS = "--images={folder}/data/images", "--masks={folder}/data/masks"
DATASET = "--dataset={folder}/dataset"

MISTAKES = [
    ("label", [MODEL], "missing --images (see --help)"),
    ("label", [MODEL, "--images={folder}/no"], "--images {folder}/no: no such folder; expected a"),
    ("label", [MODEL, "--images={folder}/empty"], "no images found; expected at least one"),
    ("label", [MODEL, IMAGES, "--batch-size=0"], "--batch-size must be 1 or more, found 0"),
    ("label", [MODEL, IMAGES, "--mask-format=gif"], "Expected one of ('png', 'rle', 'none')"),
    ("label", [MODEL, IMAGES, "--limits.max-pixels=0"], "--limits.max-pixels must be 1 to"),
    ("evaluate", [MODEL], "give either --dataset (and --split) or --images (and --masks)"),
    ("evaluate", [MODEL, DATASET, IMAGES, MASKS], "found both"),
    ("evaluate", [MODEL, DATASET, "--split=test"], "no split 'test'; it has train"),
    ("evaluate", [MODEL, IMAGES], "give --masks for pairs of files, or --layout"),
    ("evaluate", [MODEL, IMAGES, "--masks={folder}/no"], "--masks {folder}/no: no such folder"),
    ("evaluate", [MODEL, IMAGES, "--masks={folder}/empty"], "no masks found; expected at least"),
    ("evaluate", [MODEL, IMAGES, "--mask-pattern=(.+)_gt"], "--mask-pattern (.+)_gt: fits no file"),
    ("train", [DATASET, "--batch-size=2"], "no examples in a split 'val'"),
    ("train", [DATASET, "--architecture=vgg"], "vgg"),
    ("train", [DATASET, "--loss=ce+lovacz"], "--loss 'ce+lovacz': 'lovacz' is no loss; write"),
    ("train", [DATASET, "--devices=tpu"], "--devices must be auto, cpu:N or gpu:N"),
    ("train", [DATASET, "--epochs=0"], "--epochs must be positive, found 0"),
    ("train", [DATASET, "--augmentation.rotation=200"], "--augmentation.rotation must be 0.0 to"),
    ("demo", ["--examples=0"], "--examples must be 1 or more, found 0"),
]


@pytest.mark.parametrize(("command", "flags", "message"), MISTAKES)
def test_a_mistake_costs_one_line(command, flags, message, folder, tmp_path, capfd):
    output = tmp_path / "out"
    words = [word.format(folder=folder) for word in [*flags, f"--output={output}"]]
    ran = run_here(capfd, command, *words)
    assert ran.code == 2
    assert message.format(folder=folder) in ran.line
    assert not output.exists()


OUTPUTS = [
    ("file.txt", "is a file"),
    ("data", "holds"),
    ("data/images", "--output"),
    ("data/images/labels", "choose a folder outside"),
]


@pytest.mark.parametrize(("output", "message"), OUTPUTS)
@pytest.mark.parametrize("command", ["label", "evaluate"])
def test_an_output_that_must_not_be(command, output, message, folder, capfd):
    before = sorted(folder.rglob("*"))
    words = [MODEL, IMAGES, *([MASKS] if command == "evaluate" else [])]
    words = [word.format(folder=folder) for word in words]
    ran = run_here(capfd, command, *words, f"--output={folder / output}")
    assert ran.code == 2
    assert message in ran.line
    assert str(folder / output) in ran.line
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("command", ["report", "verify"])
def test_what_is_no_output_folder(command, folder, capfd):
    for name, message in (
        ("nowhere", f"segflow {command}: {folder}/nowhere: "),
        ("data", f"segflow {command}: {folder}/data: "),
        ("file.txt", f"segflow {command}: {folder}/file.txt: "),
    ):
        ran = run_here(capfd, command, folder / name)
        assert ran.code == 2
        assert ran.line.startswith(message)
        assert "expected" in ran.line
    ran = run_here(capfd, command)
    assert (ran.code, ran.line) == (2, f"segflow {command}: missing FOLDER (see --help)")
    assert storage.names_in(folder / "data") == ["images", "labels.json", "masks"]


def test_a_demo_does_not_draw_over_other_pictures(folder, tmp_path, capfd):
    pictures = tmp_path / "drawn" / "images"
    pictures.mkdir(parents=True)
    (pictures / "holiday.jpg").touch()
    ran = run_here(capfd, "demo", f"--output={tmp_path}", "--examples=1", "--pictures=1")
    assert ran.code == 2
    assert "found 'holiday.jpg'; choose another folder" in ran.line
