"""How much each class counts in the loss."""

import json
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from segflow.dataset import Dataset
from segflow.errors import UsageError


def class_weights(rule: str, dataset: Dataset) -> NDArray[np.float32] | None:
    """The weight of each class in the loss.

    Args:
        rule: `inverse_frequency` or `median_frequency`, as `segflow.class_weights` has them and
            the dataset's record gives them for its training split; `none`; or the path of a JSON
            or YAML file {class name: weight}, taken as it is.
        dataset: Whose record is read.

    Returns:
        float32 [num_classes], 0 for a class without pixels; None for `none`.

    Raises:
        UsageError: The file is missing or is no table of all classes, or the training split has
            only ignored pixels.
    """
    if rule == "none":
        return None
    if rule not in ("inverse_frequency", "median_frequency"):
        return _read_weights(Path(rule), dataset.label_map.names)
    recorded = dataset.record["class_weights"][rule]
    weights = np.array([recorded[str(c.id)] for c in dataset.label_map.classes], np.float32)
    if not weights.any():
        raise UsageError(f"dataset {dataset.folder}: the split 'train' has only ignored pixels")
    return weights


def _read_weights(path: Path, names: tuple[str, ...]) -> NDArray[np.float32]:
    try:
        text = path.read_text(encoding="utf-8")
        table = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(
            f"class weights {str(path)!r}: neither a known rule (none, inverse_frequency, "
            f"median_frequency) nor a file that can be read: {error}"
        ) from error
    if not isinstance(table, dict):
        raise UsageError(
            f"class weights {path}: expected a table {{class name: weight}}, "
            f"found {str(table)[:80]}"
        )
    _require_classes(path, set(map(str, table)), names)
    weights = [table[name] for name in names]
    if not all(isinstance(w, int | float) and 0 <= w < float("inf") for w in weights):
        raise UsageError(f"class weights {path}: weights must be numbers from 0, found {weights}")
    if not any(weights):
        raise UsageError(f"class weights {path}: at least one weight must be above 0")
    return np.array(weights, np.float32)


def _require_classes(path: Path, found: set[str], names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in found]
    unknown = sorted(found - set(names))
    if missing or unknown:
        wrong = [f"no weight for {', '.join(missing)}"] if missing else []
        wrong += [f"no such class as {', '.join(unknown)}"] if unknown else []
        raise UsageError(
            f"class weights {path}: {'; '.join(wrong)}; expected one for each of {', '.join(names)}"
        )
