"""Checks a model bundle, and the counts of evaluations that it keeps."""

from collections.abc import Iterator
from pathlib import Path

from segflow.errors import UsageError
from segflow.references.stored import Reference, record_paths
from segflow.train.bundle import Bundle
from segflow.verify.files import count_problems


def problems(folder: Path) -> Iterator[str]:
    """Whether record, fingerprint and model file fit one another, and references their records."""
    try:
        bundle = Bundle.load(folder)
    except UsageError as error:
        yield str(error)
        return
    for path in record_paths(folder):
        yield from _reference_problems(path, bundle)


def _reference_problems(path: Path, bundle: Bundle) -> Iterator[str]:
    pixels = 0
    try:
        reference = Reference.load(path)
        if reference.record["model_fingerprint"] != bundle.fingerprint:
            yield f"{path}: of another model than this"
        for matrices in reference.matrices(bundle.label_map.num_classes):
            pixels += int(matrices.sum())
    except UsageError as error:
        yield str(error)
        return
    yield from count_problems(f"{path}: pixels", pixels, reference.record["pixels"])
