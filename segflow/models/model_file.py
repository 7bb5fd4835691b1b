"""A model file, looked at before Keras opens it: loading one of a stranger's must be safe.

A `.keras` file is a ZIP archive of a config, from which Keras makes layers, and of their weights.
What is checked here bounds what loading it does. Everything that it names is Keras's own, computes
and no more (`segflow.models.model_config`), so no code of the file runs and no other file is read.
The weights that it asks for are about as many as it stores, and these are no more than the file
is long, so memory is bounded by the file's length.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from segflow.errors import UsageError
from segflow.models.model_config import UnsafeModelError, asked_weights

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_LARGEST_CONFIG = 8 << 20  # bytes; as objects many times that, of large models a million

# Bounds on weights are upper ones, and layers that two models share are counted twice.
_TIMES_STORED, _SPARE = 2, 100_000


def require_safe_model(path: Path) -> None:
    """Checks that a model file can be loaded without harm; takes neither Keras nor TensorFlow.

    Raises:
        UsageError: It is no `.keras` file, or one that Keras would not have written of its own
            layers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _require_members(archive, path.stat().st_size)
            config = json.loads(archive.read(_CONFIG))
            stored = _stored_weights(archive.read(_WEIGHTS))
        asked = asked_weights({**config, "compile_config": None})  # never asked for
        if asked > _TIMES_STORED * stored + _SPARE:
            raise UnsafeModelError(
                f"its layers ask for {asked:,} weights and it holds {stored:,}, so loading it "
                "would fill the memory; save the model again"
            )
    except UnsafeModelError as error:
        raise UsageError(f"model {path}: {error}, or get it from whom you trust") from error
    # What the three libraries raise of files that are not theirs.
    except (zipfile.BadZipFile, RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
        raise UsageError(
            f"model {path}: not a .keras file as Keras 3 writes it "
            f"({type(error).__name__}: {_first_line(error)}); save the model again with "
            "model.save('model.keras')"
        ) from error


def _require_members(archive: zipfile.ZipFile, size: int) -> None:
    """Three files, stored as they are: so none is longer than the archive."""
    members = archive.infolist()
    names = sorted(member.filename for member in members)
    if names != [_CONFIG, _METADATA, _WEIGHTS]:
        raise UnsafeModelError(
            f"it holds {', '.join(map(repr, names[:9]))}; expected {_CONFIG}, {_METADATA} and "
            f"{_WEIGHTS}: save the model again"
        )
    for member in members:
        stored = member.compress_type == zipfile.ZIP_STORED
        if not stored or member.file_size != member.compress_size or member.file_size > size:
            raise UnsafeModelError(
                f"its {member.filename} unpacks to {member.file_size:,} bytes from "
                f"{member.compress_size:,}; expected one that is not compressed: save the model "
                "again"
            )
    if archive.getinfo(_CONFIG).file_size > _LARGEST_CONFIG:
        raise UnsafeModelError(
            f"its {_CONFIG} has {archive.getinfo(_CONFIG).file_size:,} bytes, expected at most "
            f"{_LARGEST_CONFIG:,}"
        )


def _stored_weights(data: bytes) -> int:
    """The number of weights in an HDF5 file, which are all in it and not compressed."""
    import h5py  # brings NumPy: --help does without

    arrays: list[h5py.Dataset] = []

    def soft(name: str, link: Any) -> str | None:
        return None if isinstance(link, h5py.HardLink) else name[:80]

    def take(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays.append(item)

    with h5py.File(io.BytesIO(data), "r") as file:
        linked = file.visititems_links(soft)
        if linked is not None:
            raise UnsafeModelError(
                f"its weights {linked!r} are a link elsewhere; save the model again"
            )
        file.visititems(take)
        held = sum(array.nbytes for array in arrays)
        if held > len(data) or any(array.external or array.is_virtual for array in arrays):
            raise UnsafeModelError(
                f"its weights claim {held:,} bytes, of which {len(data):,} at most are in the "
                "file; save the model again"
            )
        return sum(array.size for array in arrays)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
