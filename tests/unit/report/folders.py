"""Draws small output folders of every kind, as the commands would write them."""

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from segflow import scores, storage
from segflow.data.records import Record, encode_example, write_frame
from segflow.data.resize import place
from segflow.evaluate.table import IMAGES_SCHEMA, image_row
from segflow.label.prediction import Prediction
from segflow.label.tables import IMAGES_SCHEMA as LABELLED_SCHEMA
from segflow.label_map import LabelMap
from segflow.outputs import EVALUATION, LABELS
from segflow.scores.boundary import boundary_counts
from segflow.scores.calibration import calibration
from segflow.scores.images import score_images
from segflow.scores.tally import Tally
from tests.references import MODEL, write_reference

HOSTILE = "<script>alert(1)</script>"
ODD_NAMES = (HOSTILE, 'it\'s "quoted" & 100%20.png', "Straße/图像  é.png")
LABEL_MAP = LabelMap.from_dict(
    {
        "classes": [
            {"id": 0, "name": "meadow", "color": [120, 150, 60]},
            {"id": 1, "name": "house & <b>yard</b>", "color": [190, 60, 50]},
            {"id": 2, "name": "$a_1$ lake", "color": [40, 110, 190]},
            {"id": 3, "name": "never seen"},
        ],
        "ignore_id": 255,
    }
)
HEIGHT, WIDTH = 48, 64
_FINGERPRINT = MODEL


def scene(seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A picture, uint8 [h, w, 3], and its mask, uint8 [h, w], with a house, a lake, a void."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((HEIGHT, WIDTH))
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    y, x = rng.integers(10, HEIGHT - 10), rng.integers(12, WIDTH - 12)
    ids[(rows - y) ** 2 + (columns - x) ** 2 < 130] = 2
    top, left = rng.integers(2, HEIGHT - 20), rng.integers(2, WIDTH - 20)
    ids[top : top + 14, left : left + 18] = 1
    image = LABEL_MAP.palette()[ids] * 0.6 + rng.normal(60, 12, (HEIGHT, WIDTH, 1))
    ids[:3] = 255
    return image.clip(0, 255).astype(np.uint8), ids


def predicted(ids: np.ndarray[Any, Any], shift: int) -> np.ndarray[Any, Any]:
    """The mask moved to the right, so that it is wrong at the outlines."""
    moved = np.roll(ids, shift, axis=1)
    return np.where(moved == 255, 0, moved).astype(np.uint8)


def encode(pixels: np.ndarray[Any, Any], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write_dataset(folder: Path, copies: int = 2) -> Path:
    """A dataset of three splits; the keys of `train` start with the odd names."""
    sources = {"train": [*ODD_NAMES, "a/b/4.png"], "val": ["v1.png", "v2.png"], "test": ["t.png"]}
    index: list[dict[str, Any]] = []
    splits: dict[str, Any] = {}
    folder.mkdir(parents=True)
    for split, keys in sources.items():
        variants = range(1 + copies * (split == "train"))
        shard = f"{split}-00000-of-00001.tfrecord"
        rows = [
            _write_row(folder, shard, split, key, variant) for key in keys for variant in variants
        ]
        for position, (row, data) in enumerate(rows):
            row["position"] = position
            with (folder / shard).open("ab") as file:
                write_frame(file, data)
        index += [row for row, _ in rows]
        splits[split] = _split(folder / shard, [row for row, _ in rows], len(keys))
    record = {
        "format_version": 1,
        "fingerprint": _FINGERPRINT,
        "label_map": LABEL_MAP.to_dict(),
        "image_size": [HEIGHT, WIDTH],
        "resize": "letterbox",
        "seed": 7,
        "started": "2026-01-02T03:04:05+00:00",
        "splits": splits,
        "class_weights": {
            "inverse_frequency": {"0": 0.5, "1": 2.25, "2": 1.5, "3": 0.0},
            "median_frequency": {"0": 0.4, "1": 1.75, "2": 1.0, "3": 0.0},
        },
        "duplicates": {
            "exact": {"sets": 0, "images": 0, "across_splits": 0},
            "near": {"distance": 3, "sets": 1, "images": 2, "across_splits": 1},
            "dropped": 0,
        },
        "groups": {
            "groups": 1,
            "straddling": 1,
            "largest": [{"group": HOSTILE, "images": {"test": 1, "val": 1}}],
        },
        "inputs": {"listed": 16, "accepted": 7, "rejected": 9, "by_code": _BY_CODE},
        "files": [_table(folder, "index/part-00000.parquet", index), _rejects(folder)],
        "config": {
            "augmentation": {"preset": "strong", "zoom": [0.5, 1.0]},
            "image_size": f"{HEIGHT}x{WIDTH}",
            "label_map": None,
            "images": f"/x/{HOSTILE}",
        },
        "versions": {"segflow": "0.1.0", "pillow": "12.3.0"},
    }
    return _commit(folder, "dataset.json", record)


def write_bundle(folder: Path) -> Path:
    """A model bundle after five epochs, the fourth the best."""
    rows, tally = [], Tally(4)
    for seed, rank in ((2, "worst"), (3, "median"), (0, "best"), (1, "best"), (2, "doubtful")):
        image, ids = scene(seed)
        prediction = predicted(ids, {"worst": 7, "median": 4, "best": 1, "doubtful": 7}[rank])
        counted = counts(ids, prediction)
        if rank != "doubtful":
            tally.add([rank], counted["confusion"][None], counted["boundary"][None])
        rows.append(
            {
                "rank": rank,
                "key": ODD_NAMES[seed] if seed < 3 else "median.png",
                "mean_iou": scores.mean_iou(counted["confusion"]),
                "confident_disagreement": 0.123,
                "image": encode(image, "JPEG"),
                "truth": encode(ids),
                "prediction": encode(prediction),
                "doubtful": encode(prediction != ids),
            }
        )
    _table(folder, "examples.parquet", rows)
    _write_history(folder / "history.csv")
    metrics = tally.summary(LABEL_MAP.names)
    record = {
        "format_version": 1,
        "label_map": LABEL_MAP.to_dict(),
        "image_size": [HEIGHT, WIDTH],
        "resize": "stretch",
        "normalisation": {"input": "RGB, 0-255", "inside_model": "x / 127.5 - 1"},
        "architecture": {"name": "unet", "parameters": {"depth": 4}, "weights": 1_234_567},
        "training": {
            "epochs": 9,
            "loss": "ce+dice",
            "epochs_run": 5,
            "best_epoch": 4,
            "seconds": 61.5,
        },
        "dataset": {"fingerprint": "cd" * 32, "path": f"/data/{HOSTILE}"},
        "confusion_matrix": metrics.pop("confusion_matrix"),
        "metrics": {**metrics, "split": "val", "examples": 4},
        "calibration": calibration(*_logits()),
        "model": {"file": "model.keras", "bytes": 1, "sha256": "ef" * 32},
        "fingerprint": _FINGERPRINT,
        "versions": {"segflow": "0.1.0", "keras": "3.15.1"},
    }
    return _commit(folder, "bundle.json", record)


def write_ensemble(folder: Path, *, scored: bool = True) -> Path:
    """The bundle of an ensemble of two models, one of them with an odd name."""
    record = storage.read_json(write_bundle(folder) / "bundle.json")
    (folder / "history.csv").unlink()
    metrics = record["metrics"] if scored else None
    if not scored:
        (folder / "examples.parquet").unlink()
        record |= dict.fromkeys(("metrics", "confusion_matrix", "calibration", "dataset"))
    names = (HOSTILE.replace("/", "-"), "second")
    members = [
        {
            "path": f"/models/{name}",
            "fingerprint": str(number) * 64,
            "architecture": {"name": "unet", "weights": 1000},
            "image_size": [HEIGHT, WIDTH],
            "weight": (0.75, 0.25)[number],
            "temperature": (1.5, 0.875)[number],
            "metrics": metrics and {**metrics, "mean_iou": (0.5, 0.625)[number]},
        }
        for number, name in enumerate(names)
    ]
    fit = {"pixels": 1234, "loss": 0.5, "loss_with_equal_weights": 0.6}
    ensemble = {"member_weights": "fitted", "image_size": None, "fit": fit}
    architecture = {**record["architecture"], "name": "ensemble"}
    changes = {"training": {}, "ensemble": ensemble, "members": members}
    return _commit(folder, "bundle.json", {**record, **changes, "architecture": architecture})


def write_models(folder: Path) -> list[Path]:
    """Two models that differ and an ensemble, for a page that compares them."""
    name = f"one {HOSTILE.replace('/', '-')}"
    models = [write_bundle(folder / name), write_bundle(folder / "two")]
    record = storage.read_json(models[1] / "bundle.json")
    training = {**record["training"], "loss": "focal", "dataset": f"/data/{'long/' * 20}"}
    _commit(models[1], "bundle.json", {**record, "training": training})
    return [*models, write_ensemble(folder / "ensemble")]


def write_evaluation(folder: Path, sources: Path) -> Path:
    """An evaluation on raw pairs, which it draws in `sources`, in two groups and none."""
    rows = []
    for seed in range(8):
        image, ids = scene(seed)
        name = f"{seed} {HOSTILE.replace('/', '')}.png" if seed == 0 else f"{seed}.png"
        image_uri = _save(sources / "images" / name, image)
        mask_uri = _save(sources / "masks" / name, ids)
        address = {"key": name, "image_uri": image_uri, "mask_uri": mask_uri}
        group = (HOSTILE, "harbour", None)[seed % 3]
        rows.append(_image_row({**address, "group": group}, ids, predicted(ids, seed)))
    data = {"images": str(sources / "images"), "masks": str(sources / "masks")}
    return _write_metrics(folder, rows, data)


def write_split_evaluation(folder: Path, dataset: Path) -> Path:
    """An evaluation on the `train` split of a dataset that `write_dataset` drew."""
    index = pq.read_table(dataset / "index/part-00000.parquet").to_pylist()
    rows = []
    for i, row in enumerate(r for r in index if r["split"] == "train" and not r["variant"]):
        _, ids = scene(_seed(row["key"]))
        address = {name: row[name] for name in ("key", "shard", "position", "group")}
        rows.append(_image_row(address, ids, predicted(ids, i)))
    return _write_metrics(folder, rows, {"dataset": str(dataset), "split": "train"})


def write_labels(folder: Path, sources: Path, runs: Sequence[str] = ("r1", "r2")) -> Path:
    """Labels of eight images, the first with a hostile name, by one run or several.

    Their model has a reference of few images, named with hostility.
    """
    data = {"dataset": f"/data/{HOSTILE}", "split": "test"}
    masks = [scene(seed)[1] for seed in range(12)]
    matrices = [counts(ids, predicted(ids, shift))["confusion"] for shift, ids in enumerate(masks)]
    write_reference(_model_of(sources), np.stack(matrices), data=data, size="stored")
    for number, run in enumerate(runs):
        write_run(folder, run, sources, range(number, 8, len(runs)))
    return folder


def write_run(
    folder: Path,
    run: str,
    sources: Path,
    seeds: Iterable[int],
    *,
    gone: Sequence[str] = (),
    model: str = _FINGERPRINT,
    confidence: float = 0.0,
    rejected: Sequence[str] = (),
) -> None:
    """One run over the scenes of `seeds`, as committed.

    Args:
        folder: The labels' folder.
        run: Its name; later runs sort later.
        sources: Where the images are drawn.
        seeds: One image each.
        gone: Addresses that this run found gone.
        model: Fingerprint.
        confidence: Added to each image's mean confidence.
        rejected: Addresses that this run rejected as too large.
    """
    drawn = [_label(sources, seed, model, confidence) for seed in seeds]
    tables = {
        "images": pa.Table.from_pylist([image for image, _ in drawn], LABELLED_SCHEMA),
        "areas": [area for _, areas in drawn for area in areas],
        "rejects": _reject_rows(rejected),
        "gone": [{"image_uri": uri} for uri in gone],
    }
    record = {
        "format_version": LABELS.format_version,
        "run": run,
        "started": "2026-01-01T00:00:00Z",
        "finished": "2026-01-01T00:00:08Z",
        "model": {
            "path": str(_model_of(sources)),
            "fingerprint": model,
            "label_map": LABEL_MAP.to_dict(),
        },
        "images": str(sources),
        "config": {"mask_format": "png", "uncertain_below": 0.75},
        "versions": {"segflow": "0.1.0"},
        "inputs": {
            "listed": len(drawn) + len(rejected),
            "accepted": len(drawn),
            "rejected": len(rejected),
            "by_code": {"too_large": len(rejected)} if rejected else {},
        },
        "classes": _totals(tables["areas"]),
        "certainty": {"mean_confidence": 0.7, "mean_entropy": 0.3, "uncertain_fraction": 0.25},
        "pixels": HEIGHT * WIDTH * len(drawn),
        "files": [
            _table(folder, f"{name}/run={run}/part-00000.parquet", rows)
            for name, rows in tables.items()
            if rows
        ],
        "gone": len(gone),
    }
    _commit(folder, f"runs/{run}.json", record)


def _model_of(sources: Path) -> Path:
    return sources.parent / "model"


def _totals(areas: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The classes of a run's record."""
    total = sum(area["pixels"] for area in areas) or 1
    pixels = [sum(a["pixels"] for a in areas if a["class_id"] == i) for i in range(4)]
    return [
        {"id": i, "name": name, "pixels": pixels[i], "fraction": pixels[i] / total}
        for i, name in enumerate(LABEL_MAP.names)
    ]


def image_uri(sources: Path, seed: int) -> str:
    """Where `write_run` draws the image of a seed."""
    return str(sources / (f"{HOSTILE.replace('/', '')} 0.png" if seed == 0 else f"{seed}.png"))


def _label(
    sources: Path, seed: int, model: str, confidence: float
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    image, ids = scene(seed)
    ids = predicted(ids, 0)
    uri = _save(Path(image_uri(sources, seed)), image)
    row = {
        "image_uri": uri,
        "image_sha256": "cd" * 32,
        "height": HEIGHT,
        "width": WIDTH,
        "mask": encode(ids),
        "mask_format": "png",
        "mean_confidence": 0.62 + 0.04 * seed + confidence,
        "mean_entropy": 0.5 - 0.05 * seed,
        "uncertain_fraction": 0.25,
        "uncertainty": encode(np.where(ids == 2, 255, 0).astype(np.uint8)),
        "model_fingerprint": model,
    }
    areas = [
        {
            "image_uri": uri,
            "class_id": i,
            "class_name": LABEL_MAP.names[i],
            "pixels": int((ids == i).sum()),
            "fraction": float((ids == i).mean()),
            "area": 0.25 * int((ids == i).sum()),
            "mean_confidence": 0.9 - 0.1 * i,
        }
        for i in np.unique(ids).tolist()
    ]
    return row, areas


KINDS: dict[str, Callable[[Path], Path]] = {
    "dataset": lambda folder: write_dataset(folder / "dataset"),
    "model": lambda folder: write_bundle(folder / "model"),
    "ensemble": lambda folder: write_ensemble(folder / "ensemble"),
    "evaluation": lambda folder: write_evaluation(folder / "evaluation", folder / "raw"),
    "labels": lambda folder: write_labels(folder / "labels", folder / "batch"),
}
"""Writes an output folder of each kind, and what it needs, into a folder."""


_BY_CODE = {"missing_mask": 2, "unreadable": 7}


def _write_row(
    folder: Path, shard: str, split: str, key: str, variant: int
) -> tuple[dict[str, Any], bytes]:
    image, ids = scene(_seed(key))
    if variant:
        image, ids = image[:, ::-1], ids[:, ::-1]
    record = Record(encode(image), "png", encode(ids), HEIGHT, WIDTH, 3, Path(key).name, key)
    row = {
        "key": key,
        "variant": variant,
        "split": split,
        "image_uri": f"/raw/{key}",
        "mask_uri": f"/masks/{key}",
        "image_sha256": hashlib.sha256(key.encode()).hexdigest(),
        "source_height": 2 * HEIGHT,
        "source_width": 2 * WIDTH,
        "shard": shard,
        "position": 0,
        "class_pixels": [int((ids == i).sum()) for i in range(4)],
        "ignored_pixels": int((ids == 255).sum()),
        "group": HOSTILE if key in ("v1.png", "t.png") else None,
        "tile_row": None,
        "tile_column": None,
        "image_phash": f"{int(key in ('v2.png', 't.png')) * 255:016x}" if key[0] in "vt" else None,
    }
    return row, encode_example(record)


def _split(shard: Path, rows: Sequence[Mapping[str, Any]], sources: int) -> dict[str, Any]:
    pixels = np.sum([row["class_pixels"] for row in rows], axis=0)
    file = {
        "file": shard.name,
        "examples": len(rows),
        "bytes": shard.stat().st_size,
        "sha256": "00" * 32,
    }
    return {
        "examples": len(rows),
        "sources": sources,
        "class_pixels": {str(i): int(n) for i, n in enumerate(pixels)},
        "ignored_pixels": sum(row["ignored_pixels"] for row in rows),
        "shards": [file],
    }


def _write_metrics(
    folder: Path, rows: Sequence[Mapping[str, Any]], data: Mapping[str, Any]
) -> Path:
    table = pa.Table.from_pylist(rows, IMAGES_SCHEMA)
    images = _table(folder, "images/part-00000.parquet", table)
    record = {
        "format_version": EVALUATION.format_version,
        **score_images(folder, [images], LABEL_MAP.names),
        "examples": len(rows),
        "model": {"path": "/models/one", "fingerprint": _FINGERPRINT},
        "data": dict(data),
        "label_map": LABEL_MAP.to_dict(),
        "started": "2026-01-02T03:04:05+00:00",
        "config": {"batch_size": 16},
        "versions": {"keras": "3.15.1"},
        "inputs": {"listed": 17, "accepted": 8, "rejected": 9, "by_code": _BY_CODE},
        "files": [images, _rejects(folder)],
    }
    return _commit(folder, "metrics.json", record)


def counts(ids: Any, prediction: Any) -> dict[str, Any]:
    """Confusion matrix and boundary counts of one image."""
    return {
        "confusion": scores.confusion_matrix(ids, prediction, 4, 255),
        "boundary": boundary_counts(ids, prediction, 4, 255),
    }


def _image_row(row: Mapping[str, Any], ids: Any, prediction: Any) -> dict[str, Any]:
    """A row of an evaluation; the model is 95 % sure, but of the upper half."""
    confidence = np.full(ids.shape, 0.95, np.float32)
    confidence[: HEIGHT // 2] = 0.6
    certain = np.zeros((1, 1), np.uint8)
    said = Prediction(prediction, 0.8, np.zeros(4), 0.0, 0.0, certain, (prediction, confidence))
    return image_row(row, ids, place(ids.shape, ids.shape, "stretch"), said, LABEL_MAP)


def _logits() -> tuple[Any, Any]:
    """Logits of 500 pixels, twice as large as they should be, and the truth."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (500, 4))
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    return 2 * logits, truth


def _write_history(path: Path) -> None:
    columns = ("epoch", "loss", "mean_iou", "val_loss", "val_mean_iou", "val_pixel_accuracy")
    columns += ("images_per_second",)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for epoch in range(1, 6):
            score = 0.5 + 0.1 * min(epoch, 8 - epoch)
            writer.writerow([epoch, 2 / epoch, score, 2.2 / epoch, score - 0.05, 0.9, 12.5])


def _rejects(folder: Path, path: str = "rejects/part-00000.parquet") -> dict[str, Any]:
    rows = [
        {
            "key": f"{code} {i}",
            "image_uri": f"/raw/{HOSTILE} {i}.png" if i else None,
            "mask_uri": f"/masks/{i}.png",
            "code": code,
            "message": f"message {i} of <{code}>",
        }
        for code, count in _BY_CODE.items()
        for i in range(count)
    ]
    return _table(folder, path, rows)


def _reject_rows(uris: Sequence[str]) -> list[dict[str, Any]]:
    row = {"mask_uri": None, "code": "too_large", "message": "1 x 1 pixels"}
    return [{"key": Path(uri).name, "image_uri": uri, **row} for uri in uris]


def _table(folder: Path, path: str, rows: list[dict[str, Any]] | pa.Table) -> dict[str, Any]:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows) if isinstance(rows, list) else rows
    pq.write_table(table, folder / path)
    return {"path": path, "bytes": 0, "sha256": "", "rows": len(rows)}


def _save(path: Path, pixels: np.ndarray[Any, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")
    return str(path)


def _commit(folder: Path, name: str, record: Mapping[str, Any]) -> Path:
    storage.put(folder / name, storage.to_json(record))
    return folder


def _seed(key: str) -> int:
    return sum(key.encode())
