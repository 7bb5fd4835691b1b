"""References, as an evaluation keeps them in the bundle that it scored."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segflow import storage
from segflow.references import stored

MODEL = "ab" * 32


def write_reference(
    bundle: Path, matrices: NDArray[np.integer[Any]], run: str = "r1", **changes: Any
) -> Path:
    """Writes a reference; the path of its record.

    Args:
        bundle: The model's folder.
        matrices: Confusion matrices of its images, integers [k, n, n]; rows are truth.
        run: The evaluation's.
        **changes: What its record says otherwise.
    """
    image, truth, prediction = np.nonzero(matrices)
    rows = {
        "image_sha256": [f"{i:064x}" for i in image.tolist()],
        "truth": truth,
        "prediction": prediction,
        "pixels": matrices[image, truth, prediction],
    }
    record = {
        "model_fingerprint": MODEL,
        "run": run,
        "started": "2026-01-01T00:00:00Z",
        "evaluation": "/scores",
        "data": {"images": "/photos", "masks": "/masks"},
        "size": "original",
        "tta": "none",
        "images": len(matrices),
        "pixels": int(matrices.sum()),
        "trained_on": 0,
        **changes,
    }
    path = stored.record_path(bundle, run)
    with storage.scratch_folder() as scratch:
        pq.write_table(pa.table(rows, schema=stored.SCHEMA), scratch / "table.parquet")
        stored.put(path, scratch / "table.parquet", record)
    return path
