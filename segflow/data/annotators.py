"""Several annotators of one image: the class that most of them chose, pixel by pixel."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.errors import UsageError
from segflow.label_map import LabelMap

LAYOUTS = ("paired", "manifest")  # those where an image may have several masks


def require_layout(annotators: str | None, layout: str) -> None:
    """Raises `UsageError` if annotators are to be reconciled in a layout that has one an image."""
    if annotators is not None and layout not in LAYOUTS:
        raise UsageError(
            f"--annotators {annotators}: expected layout {' or '.join(LAYOUTS)}, where an image "
            f"may have several masks; found layout {layout}; leave it out"
        )


def each_mask(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row of a plan, or of an index, of several masks as one row for each of them."""
    uris: Sequence[str] = row["mask_uris"]
    unknown = [None] * len(uris)  # an index does not say when its sources were written
    sizes, times = (row.get(f"masks_{name}") or unknown for name in ("bytes", "mtime_ns"))
    for uri, size, time in zip(uris, sizes, times, strict=True):
        yield {"mask_uri": uri, "mask_bytes": size, "mask_mtime_ns": time}


def majority(masks: Sequence[NDArray[Any]], label_map: LabelMap) -> NDArray[Any]:
    """What most annotators chose.

    Args:
        masks: Ids of one size and dtype, [height, width] each.
        label_map: The classes.

    Returns:
        The class with most votes, of the masks' dtype. The ignore id is no vote; where no class
        has more votes than every other, it is the result.
    """
    chosen = np.full_like(masks[0], label_map.ignore_id)
    most = np.zeros(chosen.shape, np.uint16)
    present = np.flatnonzero(sum(np.bincount(mask.ravel(), minlength=1 << 16) for mask in masks))
    for class_id in present[present < label_map.num_classes].tolist():
        votes = sum((mask == class_id).astype(np.uint16) for mask in masks)
        chosen[(votes == most) & (votes > 0)] = label_map.ignore_id
        leads = votes > most
        chosen[leads], most[leads] = class_id, votes[leads]
    return chosen
