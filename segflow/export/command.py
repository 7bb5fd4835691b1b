"""`segflow export` from config to the tree's record, but for the command line."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from segflow import __version__, hashing, outputs, storage
from segflow.data.config import DecodeLimits
from segflow.data.listing import require_outside
from segflow.errors import JobError, RejectError, UsageError
from segflow.export import trees
from segflow.export.classes import LABEL_MAP
from segflow.export.coco import Coco
from segflow.export.config import ExportConfig
from segflow.export.pictures import Pictures
from segflow.export.rows import Row, choose, list_table, stream
from segflow.jobs import progress
from segflow.jobs.claim import claimed, publishing
from segflow.jobs.cores import available_cores
from segflow.jobs.plan import connect
from segflow.label.selection import Selection
from segflow.label_map import LabelMap

RECORD = "export.json"
LEFT_OUT = "left_out.jsonl"

_WORK = "_export"  # holds the tree until it is whole
_OWN = (
    *("masks", "color_masks", "images", "annotations", "JPEGImages", "SegmentationClass"),
    *("ImageSets", "labelmap.txt", LABEL_MAP, trees.MANIFEST, LEFT_OUT),
)


class Writer(Protocol):
    """A format: `write` makes what is an image's own, `add` lists it, `close` comes last."""

    @property
    def images(self) -> str:
        """Where copies of images lie in the tree."""

    def write(self, row: Row, image: str | None) -> Mapping[str, Any]:
        """Called from several threads."""

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Called in order, with what `write` returned."""

    def close(self) -> None:
        """Completes the tree."""


def export(config: ExportConfig, console: Console | None = None) -> Mapping[str, Any]:
    """Writes the masks of a folder of labels, or finds them written; a few are in memory at once.

    Args:
        config: The options.
        console: Where progress goes; default: stderr.

    Returns:
        What `export.json` holds.

    Raises:
        UsageError: There are no masks, or other things lie in the output.
        JobError: A stored mask is damaged, or all images are gone that were to be copied.
    """
    console = console or progress.new_console()
    selection = Selection.find(config.labels, config.run)
    selection.require_masks("to export")
    wanted = _wanted(config, selection)
    output = Path(config.output)
    for record in selection.records:
        require_outside(output, images=str(record["config"]["images"]))
    recorded = _recorded(config, selection, wanted)
    with claimed(output, RECORD, _OWN, _WORK, recorded, console) as work:
        if work is not None:
            for name in ("tree", "spill"):
                (work / name).mkdir()
            _Export(config, selection, wanted, work, console)(output)
        return dict(storage.read_json(output / RECORD))


def _wanted(config: ExportConfig, selection: Selection) -> Path | None:
    """The list of the images that are wanted; None: all.

    Raises:
        UsageError: There is no such list.
    """
    if config.images_from is not None:
        list_table(Path(config.images_from))  # says what is wrong with it before any work begins
        return Path(config.images_from)
    if not config.review_only:
        return None
    newest_first = reversed(selection.records)
    lists = (outputs.review_list(selection.folder, record) for record in newest_first)
    if found := next(filter(Path.is_file, lists), None):
        return found
    raise UsageError(
        f"--review-only: {selection.folder} holds no review list (review/run=…/review.csv); name "
        "images with --images-from"
    )


def _recorded(config: ExportConfig, selection: Selection, wanted: Path | None) -> dict[str, Any]:
    """What decides what is written."""
    return {
        "labels": storage.absolute(selection.folder),
        "runs": [record["run"] for record in selection.records],
        "is_run": selection.is_run,
        "format": config.format,
        "images_from": wanted and hashing.sha256_file(wanted),
        "placing": config.placing,
        "color_masks": config.color_masks,
    }


@dataclass
class _Export:
    """One export: makes the tree in `work`, then publishes it."""

    config: ExportConfig
    selection: Selection
    wanted: Path | None
    work: Path
    console: Console
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def tree(self) -> Path:
        return self.work / "tree"

    def __call__(self, output: Path) -> None:
        writer = self._writer(self.selection.label_map)
        with connect(self.work / "spill") as connection:
            images = choose(connection, self.selection, self.wanted, self.work / "spill")
            batches = progress.counted(stream(connection), images, "export", self.console)
            for rows in self._written(batches, writer):
                writer.add(rows)
        written = images - self.left_out.total()
        if not written:
            raise JobError(
                f"{self.config.labels}: all {images} images are gone or have changed since they "
                "were labelled; leave out --copy-images, or label again"
            )
        writer.close()
        self._publish(output, written)

    def _writer(self, label_map: LabelMap) -> Writer:
        match self.config.format:
            case "png":
                return trees.png_tree(self.tree, label_map, self.config.color_masks)
            case "voc":
                return trees.voc_tree(self.tree, label_map)
            case "cvat":
                return trees.cvat_tree(self.tree, label_map)
            case "coco":
                return Coco(self.tree, self.work / "spill", label_map)

    def _written(
        self, batches: Iterator[list[Row]], writer: Writer
    ) -> Iterator[list[Mapping[str, Any]]]:
        """What `writer` says of each image; those whose own file cannot be had are left out."""
        records = self.selection.records
        limits = {r["run"]: DecodeLimits.recorded(r["config"]) for r in records}
        pictures = Pictures(self.tree, writer.images, self.config.placing, limits)

        def write(row: Row) -> Mapping[str, Any] | RejectError:
            try:
                image = pictures.place(row)
            except RejectError as error:
                return error
            return writer.write(row, image)

        # Pillow and zlib let go of the interpreter's lock while they decode and encode.
        with ThreadPoolExecutor(available_cores()) as pool:
            for rows in batches:
                done = list(zip(rows, pool.map(write, rows), strict=True))
                self._leave_out([(r, made) for r, made in done if isinstance(made, RejectError)])
                yield [made for _, made in done if not isinstance(made, RejectError)]

    def _leave_out(self, refused: Sequence[tuple[Row, RejectError]]) -> None:
        if not refused:
            return
        with (self.tree / LEFT_OUT).open("a", encoding="utf-8") as file:
            for row, error in refused:
                self.left_out[str(error.code)] += 1
                line = {"image_uri": row.uri, "code": str(error.code), "message": str(error)}
                file.write(f"{json.dumps(line, ensure_ascii=False)}\n")

    def _publish(self, output: Path, images: int) -> None:
        """Moves whole what is in the tree, then writes the record."""
        os.sync()  # one call for a million files
        newest = self.selection.records[-1]
        record = {
            "format_version": 1,
            "images": images,
            "left_out": dict(sorted(self.left_out.items())),
            "model": newest["model"]["fingerprint"],
            "config": _recorded(self.config, self.selection, self.wanted),
            "versions": {"segflow": __version__},
        }
        with publishing(output, _WORK):
            for name in _OWN:
                _remove(output / name)  # of a run that was broken off here
            for name in storage.names_in(self.tree):
                (self.tree / name).rename(output / name)
            storage.put(output / RECORD, storage.to_json(record))


def _remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
