"""What is exported, and what becomes of the folder it goes to."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from pipelines.export import main
from segflow.errors import JobError, UsageError
from segflow.export import command
from segflow.export.config import ExportConfig
from segflow.lock import lock
from tests.unit.export.exported import export_to, files, numbers, pixels, save
from tests.unit.label.batches import Labels


def test_what_holds_now_is_exported_or_what_one_run_wrote(labels, drawn, tmp_path):
    first = labels.label()
    save(labels.images / "b.png", drawn["e.png"])
    (labels.images / "e.png").unlink()
    labels.label()

    export_to(tmp_path / "now", labels, "png")
    export_to(tmp_path / "first", labels, "png", run=first["run"])
    address = str(labels.output / "runs" / f"{first['run']}.json")
    export_to(tmp_path / "same", labels, "png", labels=address)

    assert not (tmp_path / "now" / "masks" / "e.png").exists()
    assert np.array_equal(pixels(tmp_path / "now" / "masks" / "b.png"), drawn["e.png"])
    for folder in (tmp_path / "first", tmp_path / "same"):
        assert np.array_equal(pixels(folder / "masks" / "b.png"), drawn["b.png"])
        assert len(files(folder / "masks")) == 5
    with pytest.raises(UsageError, match="no run 'x' is committed"):
        export_to(tmp_path / "other", labels, "png", run="x")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_list_chooses_and_changes_no_name(labels, drawn, tmp_path, suffix):
    labels.label()
    path = (labels.images / "list").with_suffix(suffix)
    entries = [str(labels.images / "sub/a.png"), "e.png", "nowhere.png"]
    if suffix == ".jsonl":
        path.write_text("".join(f'{{"image": "{e}", "x": {i}}}\n' for i, e in enumerate(entries)))
    else:
        table = pa.table({"rank": [1, 2, 3], "image_uri": entries})
        write = pq.write_table if suffix == ".parquet" else pyarrow.csv.write_csv
        write(table, path)
    export_to(tmp_path / "all", labels, "coco")

    record = export_to(tmp_path / "some", labels, "coco", images_from=str(path))

    assert record["images"] == 2
    some, every = numbers(tmp_path / "some"), numbers(tmp_path / "all")
    assert set(some) == {"sub/a.png", "e.png"}
    assert some.items() <= every.items()


def test_names_and_ids_depend_neither_on_the_run_nor_on_what_is_gone(labels, drawn, tmp_path):
    save(labels.images / "a.bmp", drawn["b.png"])
    labels.label()
    export_to(tmp_path / "all", labels, "coco")
    every = numbers(tmp_path / "all")
    (labels.images / "a.bmp").unlink()
    save(labels.images / "a.png", drawn["e.png"])
    record = labels.label()

    export_to(tmp_path / "now", labels, "coco")
    export_to(tmp_path / "run", labels, "coco", run=record["run"])

    now, run = (numbers(tmp_path / name) for name in ("now", "run"))
    (name,) = run
    assert name.startswith("a~")
    assert run.items() <= now.items() <= every.items()
    assert len(now) == len(every) - 1


def test_the_newest_review_list_chooses(labels, drawn, tmp_path):
    labels.label(review=0)
    with pytest.raises(UsageError, match="holds no review list"):
        export_to(tmp_path / "out", labels, "coco", review_only=True)

    for name in ("new.png", "newer.png"):
        save(labels.images / name, drawn["a.png"])
        labels.label()
        export_to(tmp_path / name, labels, "coco", review_only=True)
        assert set(numbers(tmp_path / name)) == {name}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.txt", "a.png", "expected a file, LIST.csv, .jsonl or .parquet"),
        ("list.csv", None, "expected a file, LIST.csv, .jsonl or .parquet"),
        ("list.csv", "picture\na.png\n", "expected a column image_uri or image, found picture"),
        ("list.csv", "image\nb.jpg\n", "names no image that is labelled here"),
        ("list.parquet", "no parquet", "cannot be read: "),
    ],
)
def test_a_list_that_is_none_costs_one_line(labels, drawn, tmp_path, name, text, message):
    labels.label()
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        export_to(tmp_path / "out", labels, "png", images_from=str(tmp_path / name))
    assert not (tmp_path / "out").exists()


def test_a_second_run_finds_it_complete_or_is_refused(labels, drawn, tmp_path, capfd):
    labels.label()
    words = [str(labels.output), "--format=png", f"--output={tmp_path / 'out'}"]
    assert main(words) == 0
    assert "out: 5 masks (png)" in capfd.readouterr().out
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}

    assert main(words) == 0
    assert "complete already, nothing left to do" in capfd.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")} == before
    assert main([*words, "--color-masks"]) == 2
    assert "of other settings: color_masks is False there and True here" in capfd.readouterr().err
    save(labels.images / "new.png", drawn["a.png"])
    labels.label()
    assert main(words) == 2
    assert "of other settings: runs is" in capfd.readouterr().err


def test_other_peoples_folders_are_left_alone(labels, drawn, tmp_path):
    labels.label()
    (tmp_path / "mine" / "masks").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"is not empty and holds no finished output .*'masks'"):
        export_to(tmp_path / "mine", labels, "png")
    with pytest.raises(UsageError, match="where it would be taken for an input"):
        export_to(labels.images / "out", labels, "png")
    with lock(tmp_path / "busy", "_export"), pytest.raises(UsageError, match="is at work there"):
        export_to(tmp_path / "busy", labels, "png")
    assert files(tmp_path / "mine") == set()


def test_what_fails_leaves_nothing_and_what_a_kill_left_is_replaced(
    labels, drawn, tmp_path, monkeypatch
):
    labels.label()
    whole = _files_of_export(labels, tmp_path / "whole")

    def fail(*_: object) -> None:
        raise OSError("pulled the plug")

    with monkeypatch.context() as patch:
        patch.setattr(command.storage, "put", fail)
        with pytest.raises(OSError, match="pulled the plug"):
            export_to(tmp_path / "out", labels, "png")
    assert not (tmp_path / "out").exists()

    # As a kill in the midst of publishing leaves it.
    stale = tmp_path / "out" / "_export" / "work" / "tree" / "masks"
    stale.mkdir(parents=True)
    (stale / "stale.png").touch()
    (tmp_path / "out" / "masks").mkdir()
    (tmp_path / "out" / "masks" / "stale.png").touch()
    assert _files_of_export(labels, tmp_path / "out") == whole


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_what_was_stopped_while_it_was_published_is_made_again(
    labels, drawn, tmp_path, monkeypatch, stop
):
    labels.label()
    whole = _files_of_export(labels, tmp_path / "whole")
    rename, moved = Path.rename, []

    def second_fails(path: Path, target: Path) -> Path:
        if "tree" in path.parts:
            moved.append(path)
            if len(moved) == 2:
                raise stop
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", second_fails)
        with pytest.raises(stop):
            export_to(tmp_path / "out", labels, "png", color_masks=True)
    assert (tmp_path / "out" / "color_masks").is_dir()
    assert _files_of_export(labels, tmp_path / "out") == whole


def _files_of_export(labels: Labels, output: Path) -> dict[str, bytes]:
    export_to(output, labels, "png")
    return {name: (output / name).read_bytes() for name in files(output)}


def test_labels_without_masks_cannot_be_exported(labels, drawn, tmp_path, capsys):
    bare = dataclasses.replace(labels, output=tmp_path / "bare")
    bare.label(mask_format="none")
    assert main([str(bare.output), "--format=coco", f"--output={tmp_path / 'out'}"]) == 2
    assert "labelled with --mask-format none, so there are no masks" in capsys.readouterr().err
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match="expected"):
            export_to(tmp_path / "out", labels, "png", labels=str(path))


def test_a_damaged_mask_costs_one_line_and_leaves_nothing(labels, drawn, tmp_path):
    labels.label()
    part = next(labels.output.glob("images/run=*/part-*.parquet"))
    table = pq.ParquetFile(part).read()
    masks = pa.array([b"\x89PNG broken"] * len(table), pa.binary())
    index = table.column_names.index("mask")
    pq.write_table(table.set_column(index, table.schema.field("mask"), masks), part)
    with pytest.raises(JobError, match=r"its mask in .* is damaged"):
        export_to(tmp_path / "out", labels, "png")
    part.write_bytes(b"PAR1 broken")
    with pytest.raises((JobError, UsageError)):
        export_to(tmp_path / "out", labels, "png")
    part.unlink()
    with pytest.raises(UsageError, match="gone, though a record lists it"):
        export_to(tmp_path / "out", labels, "png")
    assert not (tmp_path / "out").exists()


def test_options_that_exclude_each_other():
    base = {"labels": "l", "output": "o"}
    with pytest.raises(UsageError, match="--copy-images and --link-images exclude each other"):
        ExportConfig(**base, format="png", copy_images=True, link_images=True)
    with pytest.raises(UsageError, match="--review-only is a list of its own"):
        ExportConfig(**base, format="png", review_only=True, images_from="list.csv")
    with pytest.raises(UsageError, match="--color-masks is for --format png, found voc"):
        ExportConfig(**base, format="voc", color_masks=True)
